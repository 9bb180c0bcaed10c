"""NetworkPolicy: who may talk to a pod."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults
from reconciler.model import meta, selectors
from reconciler.model.kind import Kind, Version
from reconciler.model.selectors import Selector


def pod_selector(policy: meta.Obj) -> Selector:
    return selectors.from_label_selector(meta.spec(policy).get("podSelector") or {})


def default(policy: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(policy, "spec", _default_spec)


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    if not spec.get("policyTypes"):
        spec = {**spec, "policyTypes": ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]}
    for direction in ("ingress", "egress"):
        spec = pod_defaults.mapped(
            spec,
            direction,
            lambda rule: pod_defaults.mapped(rule, "ports", lambda port: pod_defaults.filled(port, {"protocol": "TCP"})),
        )
    return spec


KIND = Kind(
    group="networking.k8s.io",
    kind="NetworkPolicy",
    plural="networkpolicies",
    singular="networkpolicy",
    short_names=("netpol",),
    versions=(Version(name="v1", schema="io.k8s.api.networking.v1.NetworkPolicy", default=default),),
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Pod-Selector", lambda p: columns.selector_text(meta.spec(p).get("podSelector")), "@spec.podSelector"),
        columns.AGE,
    ),
    order=10,
)
