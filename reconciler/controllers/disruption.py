"""PodDisruptionBudgets: how many of the selected pods may be evicted now.

Upstream: pkg/controller/disruption. How many pods there should be is asked of their controllers' scale. A budget that
cannot be computed allows nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.controllers import percentages
from reconciler.kinds import pod, workload
from reconciler.kit import clock as clocks
from reconciler.model import conditions, meta, plan, selectors
from reconciler.model.view import NAMESPACE, View

BUDGETS = "poddisruptionbudgets.policy"
PODS = "pods"
DELETION_SECONDS = 120.0  # an eviction that deleted nothing by then is forgotten
COMPONENT = "controllermanager"


class Unscalable(Exception):
    """A pod's controller does not say how many pods it wants."""


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    budget = view.get(BUDGETS, *key)
    if budget is None:
        return plan.NOTHING
    members = view.select(PODS, key[0], _selector(budget))
    emits: list[plan.Action] = []
    if not members:
        emits.append(_emit(budget, "NoPods", "No matching pods found"))
    try:
        expected, desired, unmanaged = _wanted(view, budget, members)
    except Unscalable as error:
        message = f"Failed to calculate the number of expected pods: {error}"
        return plan.plan_of(
            [_emit(budget, "CalculateExpectedPodCountFailed", message, "Warning")], _update(budget, _failed(budget, str(error), now))
        )
    if unmanaged:
        emits.append(_emit(budget, "UnmanagedPods", UNMANAGED.format(selectors.shown(meta.spec(budget).get("selector"))), "Warning"))
    disrupted = _disrupted(budget, members, now)
    healthy = sum(_is_healthy(one, disrupted) for one in members)
    status = _status(budget, expected, desired, healthy, disrupted, now)
    update = _update(budget, status) if status != meta.status(budget) else []
    return plan.plan_of(emits, update, again_at=_recheck_at(disrupted), waiting_on=_waiting(status, len(members)))


def _waiting(status: Mapping[str, Any], members: int) -> Iterable[plan.Waiting]:
    """What must happen before a pod may be evicted."""
    if not members:
        yield plan.Waiting("pods that its selector names")
    elif not status["disruptionsAllowed"]:
        missing = status["desiredHealthy"] + 1 - status["currentHealthy"]
        yield plan.Waiting(f"{missing} more of its pods to be ready before one may be evicted")


def _wanted(view: View, budget: meta.Obj, members: Sequence[meta.Obj]) -> tuple[int, int, bool]:
    """How many pods there should be, how many of them healthy, and whether some have no controller."""
    spec = meta.spec(budget)
    if spec.get("maxUnavailable") is not None:
        expected, unmanaged = _scale(view, members)
        return expected, max(0, expected - percentages.scaled(spec["maxUnavailable"], expected, up=True)), unmanaged
    least = spec.get("minAvailable")
    if least is None:
        return 0, 0, False
    if not str(least).endswith("%"):
        return len(members), int(least), False
    expected, unmanaged = _scale(view, members)
    return expected, percentages.scaled(least, expected, up=True), unmanaged


def _scale(view: View, members: Iterable[meta.Obj]) -> tuple[int, bool]:
    """The sum of what the pods' controllers want, and whether some pods have none."""
    scales: dict[str, int] = {}
    unmanaged = False
    for one in members:
        reference = meta.controller(one)
        if reference is None:
            unmanaged = True
            continue
        owner = _scaled(view, meta.namespace(one), reference)
        if owner is not None:
            scales[meta.uid(owner)] = workload.replicas(owner)
    return sum(scales.values()), unmanaged


def _scaled(view: View, namespace: str, reference: Mapping[str, Any]) -> meta.Obj | None:
    """The object whose replicas count: of a ReplicaSet its Deployment."""
    kind = view.roster.of_object(str(reference["apiVersion"]), str(reference["kind"]))
    if kind is None:
        raise Unscalable(f"no kind {reference['kind']} is registered")
    if kind.subresource("scale") is None:
        raise Unscalable(f"{kind.id} does not implement the scale subresource")
    owner = view.get(kind.id, namespace, str(reference["name"]))
    if owner is None or meta.uid(owner) != reference["uid"]:
        return None
    above = meta.controller(owner) if kind.id == "replicasets.apps" else None
    if above is not None and above.get("kind") == "Deployment":
        return _scaled(view, namespace, above) or owner
    return owner


def _disrupted(budget: meta.Obj, members: Iterable[meta.Obj], now: float) -> dict[str, str]:
    """Evictions that were granted and have not shown yet."""
    present = {meta.name(one): one for one in members}
    kept = {}
    for name, since in (meta.status(budget).get("disruptedPods") or meta.EMPTY).items():
        one = present.get(name)
        if one is not None and not meta.is_deleting(one) and clocks.parse_rfc3339(since) + DELETION_SECONDS > now:
            kept[name] = since
    return kept


def _is_healthy(one: meta.Obj, disrupted: Mapping[str, str]) -> bool:
    return not meta.is_deleting(one) and meta.name(one) not in disrupted and pod.is_ready(one)


def _status(budget: meta.Obj, expected: int, desired: int, healthy: int, disrupted: Mapping[str, str], now: float) -> dict[str, Any]:
    # A budget without pods allows nothing, so that it is safe while its first pods come.
    allowed = max(0, healthy - desired) if expected > 0 else 0
    verdict = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    condition = conditions.made("DisruptionAllowed", *verdict, "", now, observedGeneration=meta.generation(budget))
    status: dict[str, Any] = {
        "observedGeneration": meta.generation(budget),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": conditions.updated(meta.status(budget).get("conditions") or (), condition),
    }
    return status | ({"disruptedPods": disrupted} if disrupted else {})


def _failed(budget: meta.Obj, message: str, now: float) -> dict[str, Any]:
    condition = conditions.made("DisruptionAllowed", "False", "SyncFailed", message, now)
    if generation := meta.status(budget).get("observedGeneration"):
        condition["observedGeneration"] = generation
    listed = conditions.updated(meta.status(budget).get("conditions") or (), condition)
    zeros = dict.fromkeys(("currentHealthy", "desiredHealthy", "expectedPods"), 0)
    return {**zeros, **meta.status(budget), "disruptionsAllowed": 0, "conditions": listed}


def _update(budget: meta.Obj, status: Mapping[str, Any]) -> list[plan.Action]:
    if status == meta.status(budget):
        return []
    body = meta.put(budget, ("status",), status)
    return [plan.Update(kind=BUDGETS, body=body, subresource="status", why="its pods changed")]


def _recheck_at(disrupted: Mapping[str, str]) -> float | None:
    return min((clocks.parse_rfc3339(since) + DELETION_SECONDS for since in disrupted.values()), default=None)


def _emit(budget: meta.Obj, reason: str, message: str, type: Any = "Normal") -> plan.Emit:
    return plan.Emit(regarding=budget, reason=reason, message=message, type=type, component=COMPONENT)


def _selector(budget: meta.Obj) -> selectors.Selector:
    return selectors.from_label_selector(meta.spec(budget).get("selector"))


UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the PDB cannot be "
    'calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of '
    "the PDB to an integer value."
)


def _of_pod(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    obj = new if new is not None else old
    assert obj is not None
    budgets = view.by(BUDGETS, NAMESPACE, meta.namespace(obj))
    if not budgets or (old is not None and new is not None and _looks(old) == _looks(new)):
        return
    for budget in budgets:
        selector = _selector(budget)
        if any(one is not None and selector.matches(meta.labels(one)) for one in (old, new)):
            yield meta.key(budget)


def _looks(one: meta.Obj) -> tuple[Any, ...]:
    return pod.is_ready(one), meta.is_deleting(one), meta.labels(one), meta.owners(one)


CONTROLLER = plan.Controller(
    name="disruption-controller",
    kind=BUDGETS,
    plan=planned,
    follows={PODS: _of_pod},
    reads=frozenset({plan.EVERY_KIND}),
    is_causal=True,  # a budget that another leader wrote may have forgotten an eviction that the pods here do not show yet
)
