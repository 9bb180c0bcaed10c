"""Endpoints of Services with a selector: the older form, still read by many.

Upstream: pkg/controller/endpoint. At most 1000 addresses; nobody corrects an edited object before its Service changes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.controllers import serving
from reconciler.kinds import pod, service
from reconciler.model import meta, plan
from reconciler.model.view import View

ENDPOINTS = "endpoints"
MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
CAPACITY_ANNOTATION = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one, present = view.get(serving.SERVICES, *key), view.get(ENDPOINTS, *key)
    if one is None:
        return plan.plan_of(_deletion(present))
    if not service.has_selector(one) or service.is_external_name(one):
        return plan.NOTHING
    members = serving.pods_of(view, one, terminating=service.publishes_not_ready(one))
    subsets, truncated = _subsets(one, members)
    labels = _labels(one)
    if present is not None and list(present.get("subsets") or ()) == subsets and meta.labels(present) == labels:
        return plan.NOTHING
    annotations = _annotations(one, members, present, truncated)
    return plan.plan_of([_write(one, present, subsets, labels, annotations)])


def _deletion(present: meta.Obj | None) -> Iterable[plan.Action]:
    if present is not None:
        namespace, name = meta.key(present)
        yield plan.Delete(kind=ENDPOINTS, namespace=namespace, name=name, uid=meta.uid(present), why="its Service is gone")


def _subsets(one: meta.Obj, members: Iterable[meta.Obj]) -> tuple[list[dict[str, Any]], bool]:
    """Ports with the same addresses share a subset; whether addresses were left out for being too many."""
    family = serving.families(one)[0]
    addresses: dict[str, tuple[bool, dict[str, Any]]] = {}
    ports: dict[str, tuple[dict[str, Any], list[str]]] = {}
    truncated = False
    for member in members:
        ip = serving.address(member, family)
        if not ip:
            continue
        if len(addresses) >= MAX_ADDRESSES:
            truncated = True
            break
        ready = service.publishes_not_ready(one) or pod.is_ready(member)
        addresses[ip] = (ready, _address(one, member, ip))
        for port in serving.ports(one, member) or [{}]:
            entry = {name: value for name, value in port.items() if value != ""}
            ports.setdefault(str(sorted(entry.items())), (entry, []))[1].append(ip)
    by_addresses: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry, ips in ports.values():
        by_addresses.setdefault(tuple(sorted(ips)), []).append(entry)
    return [_subset(ips, entries, addresses) for ips, entries in sorted(by_addresses.items())], truncated


def _subset(ips: tuple[str, ...], entries: list[dict[str, Any]], addresses: Mapping[str, tuple[bool, dict[str, Any]]]) -> dict[str, Any]:
    parts = {
        "addresses": [addresses[ip][1] for ip in ips if addresses[ip][0]],
        "notReadyAddresses": [addresses[ip][1] for ip in ips if not addresses[ip][0]],
        "ports": [entry for entry in entries if entry],
    }
    return {name: part for name, part in parts.items() if part}


def _address(one: meta.Obj, member: meta.Obj, ip: str) -> dict[str, Any]:
    address: dict[str, Any] = {"ip": ip}
    if name := serving.hostname(member, one):
        address["hostname"] = name
    if node := pod.node_name(member):
        address["nodeName"] = node
    address["targetRef"] = {"kind": "Pod", "namespace": meta.namespace(member), "name": meta.name(member), "uid": meta.uid(member)}
    return address


def _labels(one: meta.Obj) -> dict[str, str]:
    labels = {name: value for name, value in meta.labels(one).items() if name != serving.HEADLESS_LABEL}
    return labels | {MANAGED_BY_LABEL: MANAGER} | ({serving.HEADLESS_LABEL: ""} if service.is_headless(one) else {})


def _annotations(one: meta.Obj, members: list[meta.Obj], present: meta.Obj | None, truncated: bool) -> dict[str, str]:
    kept = dict(meta.annotations(present)) if present is not None else {}
    for name in (serving.TRIGGER_ANNOTATION, CAPACITY_ANNOTATION):
        kept.pop(name, None)
    if time := serving.trigger(one, members, [present] if present is not None else []):
        kept[serving.TRIGGER_ANNOTATION] = time
    return kept | ({CAPACITY_ANNOTATION: "truncated"} if truncated else {})


def _write(
    one: meta.Obj, present: meta.Obj | None, subsets: list[dict[str, Any]], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> plan.Action:
    metadata: dict[str, Any] = (
        dict(meta.meta(present)) if present is not None else {"name": meta.name(one), "namespace": meta.namespace(one)}
    )
    metadata |= {"labels": labels, "annotations": annotations}
    body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
    if present is None:
        return plan.Create(kind=ENDPOINTS, body=body, why=f"Service {meta.name(one)} has none")
    return plan.Update(kind=ENDPOINTS, body=body, why=f"the pods of Service {meta.name(one)} changed")


def _of_deleted(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None and old is not None:
        yield meta.key(old)


CONTROLLER = plan.Controller(
    name="endpoints-controller",
    kind=serving.SERVICES,
    plan=planned,
    follows={serving.PODS: serving.touched_services, ENDPOINTS: _of_deleted},
)
