"""NetworkPolicy: who may talk to a pod."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults
from reconciler.kinds.rules import addresses, check
from reconciler.model import errors, meta, selectors
from reconciler.model.errors import FieldError
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


def validate(policy: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(policy)
    yield from check.label_selector("spec.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            at = f"spec.{direction}[{index}]"
            for position, port in enumerate(rule.get("ports") or ()):
                yield from _validate_port(f"{at}.ports[{position}]", port)
            for position, peer in enumerate(rule.get(peers) or ()):
                yield from _validate_peer(f"{at}.{peers}[{position}]", peer)
    types = spec.get("policyTypes") or ()
    if len(types) > 2:
        yield errors.invalid("spec.policyTypes", list(types), "may not specify more than two policyTypes")
        return
    for kind in types:
        yield from check.one_of("spec.policyTypes", kind, ("Ingress", "Egress"))


def _validate_port(path: str, port: Mapping[str, Any]) -> Iterator[FieldError]:
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None:
        yield from check.one_of(f"{path}.protocol", protocol, ("TCP", "UDP", "SCTP"), sort=False)
    if number is None:
        if end is not None:
            yield errors.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
        return
    if isinstance(number, str):
        if end is not None:
            yield errors.invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        yield from check.port_or_name(f"{path}.port", number)
        return
    yield from check.port(f"{path}.port", number)
    if end is not None:
        if end < number:
            yield errors.invalid(f"{path}.endPort", number, "must be greater than or equal to `port`")
        yield from check.port(f"{path}.endPort", end)


def _validate_peer(path: str, peer: Mapping[str, Any]) -> Iterator[FieldError]:
    for field in ("podSelector", "namespaceSelector"):
        yield from check.label_selector(f"{path}.{field}", peer.get(field))
    block = peer.get("ipBlock")
    if block is not None:
        yield from _validate_block(f"{path}.ipBlock", block)
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    if not given:
        yield errors.required(path, "must specify a peer")
    elif block is not None and len(given) > 1:
        yield errors.forbidden(path, "may not specify both ipBlock and another peer")


def _validate_block(path: str, block: Mapping[str, Any]) -> Iterator[FieldError]:
    text = block.get("cidr", "")
    if not text:
        yield errors.required(f"{path}.cidr")
        return
    reasons = addresses.cidr_reasons(text)
    yield from check.because(f"{path}.cidr", text, reasons)
    for index, inner in enumerate(block.get("except") or ()):
        refused = addresses.cidr_reasons(inner)
        yield from check.because(f"{path}.except[{index}]", inner, refused)
        if not reasons and not refused and not _is_inside(inner, text):
            yield errors.invalid(f"{path}.except[{index}]", inner, "must be a strict subset of `cidr`")


def _is_inside(inner: str, outer: str) -> bool:
    small, large = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    same = small.version == large.version
    return same and small.prefixlen > large.prefixlen and small.network_address in large


KIND = Kind(
    group="networking.k8s.io",
    kind="NetworkPolicy",
    metadata_on_update="changes",
    plural="networkpolicies",
    singular="networkpolicy",
    short_names=("netpol",),
    versions=(Version(name="v1", schema="io.k8s.api.networking.v1.NetworkPolicy", default=default),),
    validate=validate,
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Pod-Selector", lambda p: columns.selector_text(meta.spec(p).get("podSelector")), "@spec.podSelector"),
        columns.AGE,
    ),
    order=10,
)
