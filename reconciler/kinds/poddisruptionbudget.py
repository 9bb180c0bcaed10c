"""PodDisruptionBudget: how many pods of a set may be missing by choice."""

from reconciler.kinds import columns, workload
from reconciler.model import meta
from reconciler.model.kind import Health, Kind, Version, status_of

selector = workload.selector


def disruptions_allowed(budget: meta.Obj) -> int:
    return workload.count(budget, "disruptionsAllowed")


def health(budget: meta.Obj) -> Health:
    if not workload.observed(budget):
        return Health("Progressing", "its controller has not seen the newest spec yet")
    return Health("Healthy")


def _bound_cell(budget: meta.Obj, field: str) -> str:
    return str(meta.spec(budget).get(field, "N/A"))


KIND = Kind(
    group="policy",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    singular="poddisruptionbudget",
    short_names=("pdb",),
    versions=(Version(name="v1", schema="io.k8s.api.policy.v1.PodDisruptionBudget"),),
    subresources=(status_of("PodDisruptionBudget"),),
    prepare=workload.empty_status(disruptionsAllowed=0, currentHealthy=0, desiredHealthy=0, expectedPods=0),
    prepare_status=workload.keep_spec,
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Min Available", lambda b: _bound_cell(b, "minAvailable"), "The minimum number of pods that must be available."),
        columns.column(
            "Max Unavailable", lambda b: _bound_cell(b, "maxUnavailable"), "The maximum number of pods that may be unavailable."
        ),
        columns.column(
            "Allowed Disruptions", disruptions_allowed, "Calculated number of pods that may be disrupted at this time.", type="integer"
        ),
        columns.AGE,
    ),
    health=health,
    order=55,
)
