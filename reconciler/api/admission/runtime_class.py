"""RuntimeClass: a pod gets the overhead, node selector and tolerations of the runtime class that it names."""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import meta, quantity

CLASSES = "runtimeclasses.node.k8s.io"
Toleration = Mapping[str, Any]


def admit(attributes: Attributes, pod: meta.Obj) -> meta.Obj:
    if attributes.operation != "CREATE" or attributes.call.subresource:
        return pod
    runtime = _named(attributes, pod)
    if runtime is None:
        return pod
    spec = dict(meta.spec(pod))
    overhead = (runtime.get("overhead") or {}).get("podFixed")
    if runtime.get("overhead") is not None:
        if spec.get("overhead") and not _is_same(spec["overhead"], overhead):
            raise attributes.call.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        spec["overhead"] = overhead
    scheduling = runtime.get("scheduling") or {}
    if scheduling.get("nodeSelector"):
        spec["nodeSelector"] = _selector(attributes, spec.get("nodeSelector") or {}, scheduling["nodeSelector"])
    if scheduling.get("tolerations"):
        spec["tolerations"] = merged(spec.get("tolerations") or (), scheduling["tolerations"])
    return {**pod, "spec": spec}


def validate(attributes: Attributes, pod: meta.Obj) -> None:
    if attributes.operation != "CREATE" or attributes.call.subresource:
        return
    runtime, overhead = _named(attributes, pod), meta.spec(pod).get("overhead")
    if runtime is not None and runtime.get("overhead") is not None:
        if not _is_same(overhead or {}, runtime["overhead"].get("podFixed") or {}):
            raise attributes.call.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    elif overhead:
        raise attributes.call.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")


def _named(attributes: Attributes, pod: meta.Obj) -> meta.Obj | None:
    name = meta.spec(pod).get("runtimeClassName")
    if not name:
        return None
    found = attributes.cache.get(CLASSES, "", name)
    if found is None:
        raise attributes.call.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found.obj


def _is_same(left: Mapping[str, Any], right: Mapping[str, Any] | None) -> bool:
    """Whether two resource lists are equal as quantities."""
    right = right or {}
    return left.keys() == right.keys() and all(quantity.compare(str(left[name]), str(right[name])) == 0 for name in left)


def _selector(attributes: Attributes, of_pod: Mapping[str, str], of_class: Mapping[str, str]) -> dict[str, str]:
    for key, value in of_class.items():
        if of_pod.get(key, value) != value:
            where = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {of_pod[key]}"
            raise attributes.call.forbidden(f"conflict: {where}")
    return {**of_pod, **of_class}


def merged(first: Sequence[Toleration], second: Sequence[Toleration]) -> list[Toleration]:
    """Both, without those that another one covers; of equal ones the first stays."""
    everything, kept = [*first, *second], list[Toleration]()
    for index, one in enumerate(everything):
        covered = any(_covers(other, one) for other in kept)
        covered = covered or any(other != one and _covers(other, one) for other in everything[index + 1 :])
        if not covered:
            kept.append(one)
    return kept


def _covers(wide: Toleration, narrow: Toleration) -> bool:
    """Whether everything that `narrow` tolerates `wide` does too."""
    if wide == narrow:
        return True
    exists = wide.get("operator") == "Exists"
    if narrow.get("key", "") != wide.get("key", "") and (wide.get("key") or not exists):
        return False
    if narrow.get("effect", "") != wide.get("effect", "") and wide.get("effect"):
        return False
    seconds = wide.get("tolerationSeconds")
    if wide.get("effect") == "NoExecute" and seconds is not None and narrow.get("tolerationSeconds", seconds + 1) > seconds:
        return False
    return exists or (narrow.get("operator", "Equal") == "Equal" and narrow.get("value", "") == wide.get("value", ""))


PLUGIN = Plugin(name="RuntimeClass", kinds=frozenset({"pods"}), reads=(CLASSES,), admit=admit, validate=validate)
