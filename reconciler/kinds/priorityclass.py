"""PriorityClass: a name for a pod's priority."""

from collections.abc import Iterator

from reconciler.kinds import columns, pod_defaults
from reconciler.kinds.rules import check
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version

SYSTEM_PREFIX = "system-"
HIGHEST_USER_VALUE = 1_000_000_000
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def value(priority_class: meta.Obj) -> int:
    return int(priority_class.get("value") or 0)


def is_global_default(priority_class: meta.Obj) -> bool:
    return bool(priority_class.get("globalDefault"))


def default(priority_class: meta.Obj) -> meta.Obj:
    return pod_defaults.filled(priority_class, {"preemptionPolicy": "PreemptLowerPriority"})


def validate(priority_class: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    name = meta.name(priority_class)
    if name.startswith(SYSTEM_PREFIX):
        if wrong := _not_of_the_system(priority_class):
            reserved = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only"
            yield errors.forbidden("metadata.name", f"{reserved}. error: {wrong}")
    elif value(priority_class) > HIGHEST_USER_VALUE:
        yield errors.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_VALUE}")
    policy = priority_class.get("preemptionPolicy", "")
    yield from check.one_of("preemptionPolicy", policy, ("PreemptLowerPriority", "Never"), sort=False)
    if old is not None:
        if value(priority_class) != value(old):
            yield errors.forbidden("value", "may not be changed in an update.")
        yield from check.immutable("preemptionPolicy", policy, old.get("preemptionPolicy"))


def _not_of_the_system(priority_class: meta.Obj) -> str:
    name = meta.name(priority_class)
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value(priority_class) != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if is_global_default(priority_class) else ""


KIND = Kind(
    group="scheduling.k8s.io",
    kind="PriorityClass",
    metadata_on_update="changes",
    plural="priorityclasses",
    singular="priorityclass",
    short_names=("pc",),
    namespaced=False,
    versions=(Version(name="v1", schema="io.k8s.api.scheduling.v1.PriorityClass", default=default),),
    validate=validate,
    has_generation=True,
    generation_grows=False,
    columns=(
        columns.NAME,
        columns.column("Value", value, "@value"),
        columns.column("Global-Default", is_global_default, "@globalDefault", type="boolean"),
        columns.AGE,
        columns.column("PreemptionPolicy", lambda c: c.get("preemptionPolicy", ""), "@preemptionPolicy"),
    ),
    order=8,
)
