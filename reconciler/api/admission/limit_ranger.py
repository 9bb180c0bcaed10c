"""LimitRanger: containers get a namespace's default requests and limits; what is outside its ranges is refused."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import meta, quantity

ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, str]


def admit(attributes: Attributes, pod: meta.Obj) -> meta.Obj:
    """Fill in defaults of a new pod, and note them in an annotation."""
    if attributes.operation != "CREATE" or attributes.call.subresource or attributes.call.kind.id != "pods":
        return pod
    notes: list[str] = []
    for item in _items(attributes):
        if item.get("type") == "Container":
            spec = dict(meta.spec(pod))
            for group, word in (("containers", "container"), ("initContainers", "init container")):
                if spec.get(group):
                    spec[group] = [_filled(one, item, word, notes) for one in spec[group]]
            pod = {**pod, "spec": spec}
    if not notes:
        return pod
    annotations = {**meta.annotations(pod), ANNOTATION: "LimitRanger plugin set: " + "; ".join(notes)}
    return meta.put(pod, ("metadata", "annotations"), annotations)


def _filled(container: Mapping[str, Any], item: Mapping[str, Any], word: str, notes: list[str]) -> Mapping[str, Any]:
    resources = dict(container.get("resources") or {})
    for part, defaults in (("requests", item.get("defaultRequest")), ("limits", item.get("default"))):
        missing = {name: amount for name, amount in (defaults or {}).items() if name not in (resources.get(part) or {})}
        if missing:
            resources[part] = {**(resources.get(part) or {}), **missing}
            notes.append(f"{', '.join(sorted(missing))} {part[:-1]} for {word} {container['name']}")
    return {**container, "resources": resources}


def validate(attributes: Attributes, obj: meta.Obj) -> None:
    """Raises StatusError 403 with everything that is out of range."""
    call = attributes.call
    is_pod = call.kind.id == "pods"
    if attributes.operation not in (("CREATE",) if is_pod else ("CREATE", "UPDATE")) or call.subresource:
        return
    found = [text for item in _items(attributes) for text in (_of_pod(item, meta.spec(obj)) if is_pod else _of_claim(item, meta.spec(obj)))]
    if found:
        raise call.forbidden(found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _items(attributes: Attributes) -> Iterator[Mapping[str, Any]]:
    shelf = attributes.cache.shelf("limitranges")
    if shelf.items:
        for _, found in shelf.in_order(attributes.call.namespace):
            yield from meta.spec(found.obj).get("limits") or ()


def _of_pod(item: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    kind = item.get("type", "")
    if kind == "Container":
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            resources = container.get("resources") or {}
            yield from _outside(item, kind, resources.get("requests") or {}, resources.get("limits") or {})
    elif kind == "Pod":
        yield from _outside(item, kind, _total(spec, "requests"), _total(spec, "limits"))


def _of_claim(item: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    kind = item.get("type", "")
    if kind != "PersistentVolumeClaim":
        return
    requests = (spec.get("resources") or {}).get("requests") or {}
    for word, sign, bounds in (("minimum", -1, item.get("min")), ("maximum", 1, item.get("max"))):
        for name, bound in sorted((bounds or {}).items()):
            start = f"{word} {name} usage per {kind} is {bound}"
            if name not in requests:
                yield f"{start}.  No request is specified"
            elif quantity.compare(requests[name], bound) == sign:
                yield f"{start}, but request is {requests[name]}"


def _outside(item: Mapping[str, Any], kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in sorted((item.get("min") or {}).items()):
        start = f"minimum {name} usage per {kind} is {bound}"
        if name not in requests:
            yield f"{start}.  No request is specified"
        elif quantity.compare(requests[name], bound) < 0:
            yield f"{start}, but request is {requests[name]}"
        elif name in limits and quantity.compare(limits[name], bound) < 0:
            yield f"{start}, but limit is {limits[name]}"
    for name, bound in sorted((item.get("max") or {}).items()):
        start = f"maximum {name} usage per {kind} is {bound}"
        if name not in limits:
            yield f"{start}.  No limit is specified"
        elif quantity.compare(limits[name], bound) > 0:
            yield f"{start}, but limit is {limits[name]}"
        elif name in requests and quantity.compare(requests[name], bound) > 0:
            yield f"{start}, but request is {requests[name]}"
    for name, bound in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(name, bound, kind, requests, limits)


def _ratio(name: str, bound: str, kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    start = f"{name} max limit to request ratio per {kind} is {bound}"
    requested, limited = (quantity.parse(amounts.get(name, "0")).nano for amounts in (requests, limits))
    if not requested:
        yield f"{start}, but no request is specified or request is 0"
    elif not limited:
        yield f"{start}, but no limit is specified or limit is 0"
    elif limited > quantity.parse(bound).nano / 10**9 * requested:
        yield f"{start}, but provided ratio is {limited / requested:f}"


def _total(spec: Mapping[str, Any], part: str) -> dict[str, str]:
    """Containers added up, or what one init container has, if that is more."""
    total: dict[str, str] = {}
    for amounts in _of_containers(spec.get("containers") or (), part):
        total.update({name: quantity.add(total.get(name, "0"), amount) for name, amount in amounts.items()})
    for amounts in _of_containers(spec.get("initContainers") or (), part):
        total.update({name: amount for name, amount in amounts.items() if quantity.compare(amount, total.get(name, "0")) > 0})
    return total


def _of_containers(containers: Sequence[Mapping[str, Any]], part: str) -> Iterator[Amounts]:
    return ((container.get("resources") or {}).get(part) or {} for container in containers)


PLUGIN = Plugin(
    name="LimitRanger", kinds=frozenset({"pods", "persistentvolumeclaims"}), reads=("limitranges",), admit=admit, validate=validate
)
