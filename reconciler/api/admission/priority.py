"""Priority: a pod's priority class becomes a number, and only one class is everybody's default."""

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import meta

CLASSES = "priorityclasses.scheduling.k8s.io"
SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
PREEMPT = "PreemptLowerPriority"


def admit(attributes: Attributes, obj: meta.Obj) -> meta.Obj:
    """Set spec.priority and spec.preemptionPolicy of a new pod from its class, or from the default class; then they stay."""
    if attributes.call.subresource:
        return obj
    if attributes.operation != "CREATE":
        kept = meta.spec(attributes.old or {})
        missing = {name: kept[name] for name in ("priority", "preemptionPolicy") if name in kept and meta.spec(obj).get(name) is None}
        return {**obj, "spec": {**meta.spec(obj), **missing}} if missing else obj
    spec = dict(meta.spec(obj))
    name = spec.get("priorityClassName", "")
    value, policy = _named(attributes, name) if name else (0, PREEMPT)
    if not name:
        default = _default(attributes)
        if default is not None:
            spec["priorityClassName"] = meta.name(default)
            value, policy = int(default.get("value", 0)), str(default.get("preemptionPolicy", PREEMPT))
    if spec.get("priority") not in (None, value):
        raise attributes.call.forbidden(
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission controller computed"
            f" {value} from the given PriorityClass name"
        )
    if spec.get("preemptionPolicy") not in (None, policy):
        raise attributes.call.forbidden(
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; priority admission"
            f" controller computed {policy} from the given PriorityClass name"
        )
    spec["priority"], spec["preemptionPolicy"] = value, policy
    return {**obj, "spec": spec}


def validate(attributes: Attributes, obj: meta.Obj) -> None:
    """At most one class may be the default."""
    if attributes.operation == "DELETE" or not obj.get("globalDefault"):
        return
    default = _default(attributes)
    if default is not None and meta.name(default) != meta.name(obj):
        raise attributes.call.forbidden(f"PriorityClass {meta.name(default)} is already marked as default. Only one default can exist")


def _named(attributes: Attributes, name: str) -> tuple[int, str]:
    if name in SYSTEM:
        return SYSTEM[name], PREEMPT
    found = attributes.cache.get(CLASSES, "", name)
    if found is None:
        raise attributes.call.forbidden(f"no PriorityClass with name {name} was found")
    return int(found.obj.get("value", 0)), str(found.obj.get("preemptionPolicy", PREEMPT))


def _default(attributes: Attributes) -> meta.Obj | None:
    """Of several defaults (two servers at once) the lowest counts, as in kube-apiserver."""
    defaults = [item.obj for _, item in attributes.cache.shelf(CLASSES).in_order() if item.obj.get("globalDefault")]
    return min(defaults, key=lambda obj: int(obj.get("value", 0)), default=None)


PODS = Plugin(name="Priority", kinds=frozenset({"pods"}), reads=(CLASSES,), admit=admit)
PRIORITY_CLASSES = Plugin(name="Priority", kinds=frozenset({CLASSES}), validate=validate)
