"""LimitRange and ResourceQuota: how much one object, and all objects of a namespace, may ask for."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, quota_rules, workload
from reconciler.model import meta
from reconciler.model.kind import Kind, Version, status_of


def hard(quota: meta.Obj) -> Mapping[str, str]:
    return meta.spec(quota).get("hard") or meta.EMPTY


def default_limits(limit_range: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(limit_range, "spec", lambda spec: pod_defaults.mapped(spec, "limits", _default_item))


def _default_item(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """For containers: a limit defaults to the most allowed, a request to the limit, else to the least allowed."""
    if item.get("type") != "Container":
        return item
    limits = pod_defaults.filled(item.get("default") or {}, item.get("max") or {})
    requests = pod_defaults.filled(pod_defaults.filled(item.get("defaultRequest") or {}, limits), item.get("min") or {})
    given = {"default": limits, "defaultRequest": requests}
    return {**item, **{name: value for name, value in given.items() if value}}


def _usage_cell(quota: meta.Obj, *, limits: bool) -> str:
    used = meta.status(quota).get("used") or {}
    most = meta.status(quota).get("hard") or {}
    names = sorted(name for name in most if name.startswith("limits.") == limits)
    return ", ".join(f"{name}: {used.get(name, '0')}/{most[name]}" for name in names)


KINDS = (
    Kind(
        group="",
        kind="LimitRange",
        metadata_on_update="whole",
        plural="limitranges",
        singular="limitrange",
        short_names=("limits",),
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.LimitRange", default=default_limits),),
        validate=quota_rules.limit_range,
        create_on_update=True,
        columns=columns.DEFAULT,
        order=10,
    ),
    Kind(
        group="",
        kind="ResourceQuota",
        metadata_on_update="changes",
        plural="resourcequotas",
        singular="resourcequota",
        short_names=("quota",),
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.ResourceQuota"),),
        subresources=(status_of("ResourceQuota"),),
        prepare=workload.keep_status,
        validate=quota_rules.resource_quota,
        prepare_status=workload.keep_spec,
        columns=(
            columns.NAME,
            columns.column(
                "Request",
                lambda q: _usage_cell(q, limits=False),
                "Request represents a minimum amount of cpu/memory that a container may consume.",
            ),
            columns.column(
                "Limit",
                lambda q: _usage_cell(q, limits=True),
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
            ),
            columns.AGE,
        ),
        order=10,
    ),
)
