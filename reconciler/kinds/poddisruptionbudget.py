"""PodDisruptionBudget: how many pods of a set may be missing by choice."""

from collections.abc import Iterator

from reconciler.kinds import columns, workload
from reconciler.kinds.rules import check, statuses
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Health, Kind, Version, status_of

selector = workload.selector


def disruptions_allowed(budget: meta.Obj) -> int:
    return workload.count(budget, "disruptionsAllowed")


def validate(budget: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(budget)
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        shown = check.internal(spec, MinAvailable=None, Selector=None, MaxUnavailable=None, UnhealthyPodEvictionPolicy=None)
        yield errors.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        yield from check.int_or_percent(f"spec.{field}", value)
        yield from check.not_above_100_percent(f"spec.{field}", value)
    yield from check.label_selector("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None:
        yield from check.one_of("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))


def health(budget: meta.Obj) -> Health:
    if not workload.observed(budget):
        return Health("Progressing", "its controller has not seen the newest spec yet")
    return Health("Healthy")


def _bound_cell(budget: meta.Obj, field: str) -> str:
    return str(meta.spec(budget).get(field, "N/A"))


KIND = Kind(
    group="policy",
    kind="PodDisruptionBudget",
    metadata_on_update="none",
    plural="poddisruptionbudgets",
    singular="poddisruptionbudget",
    short_names=("pdb",),
    versions=(Version(name="v1", schema="io.k8s.api.policy.v1.PodDisruptionBudget"),),
    subresources=(status_of("PodDisruptionBudget"),),
    prepare=workload.empty_status(disruptionsAllowed=0, currentHealthy=0, desiredHealthy=0, expectedPods=0),
    prepare_status=workload.keep_spec,
    validate_status=statuses.disruption_budget,
    validate=validate,
    name_rule="path",
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
