"""resource.k8s.io: devices that nodes offer and pods claim."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, device_rules, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.kind import Kind, Version, status_of

GROUP = "resource.k8s.io"


def default_claim(claim: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(claim, "spec", _default_spec)


def default_claim_template(template: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(template, "spec", lambda spec: pod_defaults.inside(spec, "spec", _default_spec))


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    def request(one: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.mapped(pod_defaults.inside(one, "exactly", _default_request), "firstAvailable", _default_request)

    return pod_defaults.inside(spec, "devices", lambda devices: pod_defaults.mapped(devices, "requests", request))


def _default_request(request: Mapping[str, Any]) -> Mapping[str, Any]:
    request = pod_defaults.filled(request, {"allocationMode": "ExactCount"})
    if request["allocationMode"] == "ExactCount":
        request = pod_defaults.filled(request, {"count": 1})
    return pod_defaults.mapped(request, "tolerations", lambda one: pod_defaults.filled(one, {"operator": "Equal"}))


def is_allocated(claim: meta.Obj) -> bool:
    return meta.status(claim).get("allocation") is not None


def _state_cell(claim: meta.Obj) -> str:
    states = []
    if meta.is_deleting(claim):
        states.append("deleted")
    if is_allocated(claim):
        states.append("allocated")
        states += ["reserved"] if meta.status(claim).get("reservedFor") else []
    elif not states:
        states.append("pending")
    return ",".join(states)


def _kind(kind: str, default: Any = None, **more: Any) -> Kind:
    plural = kind.lower() + ("es" if kind.endswith("s") else "s")
    schema = f"io.k8s.api.resource.v1.{kind}"
    version = Version(name="v1", schema=schema) if default is None else Version(name="v1", schema=schema, default=default)
    return Kind(group=GROUP, kind=kind, plural=plural, singular=kind.lower(), versions=(version,), order=25, **more)


KINDS = (
    _kind(
        "DeviceClass",
        metadata_on_update="changes",
        namespaced=False,
        has_generation=True,
        validate=device_rules.device_class,
        name_rule="subdomain_in_bytes",
        columns=(columns.NAME, columns.AGE),
    ),
    _kind(
        "ResourceClaim",
        default_claim,
        validate=device_rules.claim,
        subresources=(status_of("ResourceClaim"),),
        prepare=workload.keep_status,
        prepare_status=workload.keep_spec,
        columns=(
            columns.NAME,
            columns.column("State", _state_cell, "A summary of the current state (allocated, pending, reserved, etc.)."),
            columns.AGE,
        ),
    ),
    _kind("ResourceClaimTemplate", default_claim_template, validate=device_rules.claim_template, columns=(columns.NAME, columns.AGE)),
    _kind(
        "ResourceSlice",
        validate=device_rules.slice,
        metadata_on_update="changes",
        namespaced=False,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column("Node", lambda s: meta.spec(s).get("nodeName") or columns.UNSET, "@spec.nodeName"),
            columns.column("Driver", lambda s: meta.spec(s).get("driver", ""), "@spec.driver"),
            columns.column("Pool", lambda s: (meta.spec(s).get("pool") or {}).get("name", ""), "@spec.pool"),
            columns.AGE,
        ),
        selectable_fields={
            "spec.nodeName": lambda s: str(meta.spec(s).get("nodeName", "")),
            "spec.driver": lambda s: str(meta.spec(s).get("driver", "")),
        },
    ),
)
