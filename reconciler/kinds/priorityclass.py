"""PriorityClass: a name for a pod's priority."""

from reconciler.kinds import columns, pod_defaults
from reconciler.model import meta
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


KIND = Kind(
    group="scheduling.k8s.io",
    kind="PriorityClass",
    plural="priorityclasses",
    singular="priorityclass",
    short_names=("pc",),
    namespaced=False,
    versions=(Version(name="v1", schema="io.k8s.api.scheduling.v1.PriorityClass", default=default),),
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Value", value, "@value"),
        columns.column("Global-Default", is_global_default, "@globalDefault", type="boolean"),
        columns.AGE,
        columns.column("PreemptionPolicy", lambda c: c.get("preemptionPolicy", ""), "@preemptionPolicy"),
    ),
    order=8,
)
