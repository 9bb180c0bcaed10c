"""Fitting endpoints into EndpointSlices with as few changes as possible.

An endpoint stays in the slice it is in. What is new goes where something changes anyway, then where there is room,
then into new slices. Shared by the controllers for Services and for mirrored Endpoints.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.kinds import endpoints
from reconciler.model import meta, plan

SLICES = "endpointslices.discovery.k8s.io"

Endpoint = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints with the same ports and kind of address."""

    address_type: str
    ports: tuple[Mapping[str, Any], ...]
    endpoints: tuple[Endpoint, ...]

    @property
    def key(self) -> str:
        return group_key(self.address_type, self.ports)


def group_key(address_type: str, ports: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(
        [address_type, sorted((dict(port) for port in ports), key=lambda port: json.dumps(port, sort_keys=True))], sort_keys=True
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """What all slices of one owner share."""

    owner: meta.Obj
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    most: int = endpoints.MAX_ENDPOINTS


def fitted(frame: Frame, groups: Sequence[Group], present: Sequence[meta.Obj], names: Iterator[str]) -> Iterable[plan.Action]:
    """What makes `present` slices hold exactly `groups`. A group without endpoints still keeps one slice."""
    by_key: dict[str, list[meta.Obj]] = {}
    for one in present:
        by_key.setdefault(group_key(str(one.get("addressType")), one.get("ports") or ()), []).append(one)
    spare: list[meta.Obj] = []
    wanted: list[tuple[meta.Obj | None, Group, list[Endpoint]]] = []
    for group in groups:
        kept, emptied = _distributed(group, by_key.pop(group.key, []), frame.most)
        wanted += [(slice, group, filled) for slice, filled in kept]
        spare += emptied
    spare += [slice for rest in by_key.values() for slice in rest]
    for slice, group, filled in wanted:
        reused = slice if slice is not None else _taken(spare, group.address_type)
        yield from _write(frame, group, filled, reused, names)
    for one in spare:
        yield plan.Delete(
            kind=SLICES,
            namespace=meta.namespace(one),
            name=meta.name(one),
            uid=meta.uid(one),
            why=f"no endpoint of {meta.name(frame.owner)} is left for it",
        )


def _distributed(group: Group, present: list[meta.Obj], most: int) -> tuple[list[tuple[meta.Obj | None, list[Endpoint]]], list[meta.Obj]]:
    """Each slice with its endpoints, None for a new one; and the slices that are left empty."""
    missing = {_identity(endpoint): endpoint for endpoint in group.endpoints}
    filled: list[tuple[meta.Obj | None, list[Endpoint], bool]] = []
    for slice in present:
        before = endpoints.endpoints(slice)
        stay = [missing.pop(_identity(endpoint)) for endpoint in before if _identity(endpoint) in missing][:most]
        filled.append((slice, stay, stay != list(before)))
    for _, stay, changed in sorted(filled, key=lambda one: not one[2]):
        if stay or changed:
            _pour(missing, stay, most)
    result: list[tuple[meta.Obj | None, list[Endpoint]]] = [(slice, stay) for slice, stay, _ in filled if stay]
    while missing:
        fresh: list[Endpoint] = []
        _pour(missing, fresh, most)
        result.append((None, fresh))
    emptied = [slice for slice, stay, _ in filled if not stay and slice is not None]
    if not result:
        result.append((emptied.pop(0) if emptied else None, []))
    return result, emptied


def _pour(missing: dict[str, Endpoint], into: list[Endpoint], most: int) -> None:
    for identity in list(missing)[: max(0, most - len(into))]:
        into.append(missing.pop(identity))


def _taken(spare: list[meta.Obj], address_type: str) -> meta.Obj | None:
    """A slice that would be deleted can be filled anew instead."""
    found = next((slice for slice in spare if slice.get("addressType") == address_type), None)
    if found is not None:
        spare.remove(found)
    return found


def _write(frame: Frame, group: Group, filled: list[Endpoint], slice: meta.Obj | None, names: Iterator[str]) -> Iterable[plan.Action]:
    content = {"endpoints": filled, "ports": [dict(port) for port in group.ports]}
    if slice is None:
        metadata: dict[str, Any] = {
            "name": next(names),
            "generateName": f"{meta.name(frame.owner)}-",
            "namespace": meta.namespace(frame.owner),
            "labels": frame.labels,
            "ownerReferences": [meta.controller_reference(frame.owner)],
        } | ({"annotations": frame.annotations} if frame.annotations else {})
        body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": group.address_type}
        yield plan.Create(kind=SLICES, body={**body, **content}, why=f"{meta.name(frame.owner)} has endpoints in no slice")
        return
    same = list(endpoints.endpoints(slice)) == filled and list(slice.get("ports") or ()) == content["ports"]
    if same and meta.labels(slice) == frame.labels:
        return
    changed = meta.put({**slice, **content}, ("metadata", "labels"), frame.labels)
    changed = meta.put(changed, ("metadata", "annotations"), frame.annotations)
    yield plan.Update(kind=SLICES, body=changed, why=f"the endpoints of {meta.name(frame.owner)} changed")


def _identity(endpoint: Endpoint) -> str:
    target = endpoint.get("targetRef") or meta.EMPTY
    return f"{target.get('uid', '')} {' '.join(endpoint.get('addresses') or ())}"
