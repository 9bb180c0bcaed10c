"""StatefulSet: pods with names, storage and an order.

Upstream: pkg/controller/statefulset. OrderedReady makes one step a plan: the first pod that is not as it should be
holds all that come after it. Parallel works on all at once. `identity.py` makes pods and claims, `rolling.py` decides
which pods an update replaces, `status.py` counts.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from reconciler.controllers import Facts, claims, history, pods, templates
from reconciler.controllers.statefulset import identity, rolling, status
from reconciler.controllers.statefulset.step import Slot, Step
from reconciler.kinds import pod, statefulset, workload
from reconciler.model import meta, plan
from reconciler.model.view import View

SETS = "statefulsets.apps"


def planned(keeping: history.Keeping, view: View, key: meta.Key, now: float) -> plan.Plan:
    owner = view.get(SETS, *key)
    if owner is None:
        return plan.NOTHING
    claimed = claims.claim(view, owner, pods.PODS, workload.selector(owner), lambda one: identity.ordinal(owner, one) >= 0)
    known = history.known(view, owner)
    update, revising = history.present(view, keeping, owner, known.owned)
    current = next((one for one in known.owned if meta.name(one) == status.current_revision(owner)), update)
    by_ordinal = {identity.ordinal(owner, one): one for one in claimed.owned}
    step = Step(view, owner, current, update, now)
    if not meta.is_deleting(owner):
        _advance(step, by_ordinal)
    counted = status.counted(owner, claimed.owned, current, update, now)
    step.status = tuple(status.update(SETS, owner, counted))
    live = {meta.name(current), meta.name(update), *(status.revision_of(one) for one in claimed.owned)}
    return plan.plan_of(
        [*claimed.actions, *known.actions],
        revising,
        *step.groups,
        step.status,
        history.surplus(known.owned, live, history.limit(owner)),
        again_at=status.next_available(owner, claimed.owned, now),
        waiting_on=step.waiting,
    )


def _advance(step: Step, by_ordinal: Mapping[int, meta.Obj]) -> None:
    owner = step.owner
    first = statefulset.first_ordinal(owner)
    wanted = range(first, first + workload.replicas(owner))
    slots = [Slot(ordinal, by_ordinal.get(ordinal)) for ordinal in wanted]
    condemned = [Slot(ordinal, one) for ordinal, one in sorted(by_ordinal.items(), reverse=True) if ordinal not in wanted]
    ordered = not statefulset.is_parallel(owner)
    for slot in slots:
        if _settle(step, slot, ordered) and ordered:
            return
    for slot in condemned:
        step.match_claims(slot)
    unhealthy = _first_unhealthy(step, slots, condemned)
    for slot in condemned:
        if _condemn(step, slot, ordered, unhealthy) and ordered:
            return
    if statefulset.update_strategy(owner) != "OnDelete":
        rolling.replace_outdated(step, slots)


def _settle(step: Step, slot: Slot, ordered: bool) -> bool:
    """Make the pod of `slot` be there, sound and in order. Whether those after it must wait."""
    one = slot.pod
    if one is None:
        step.make(slot)
        return True
    if pod.is_terminal(one):
        if not meta.is_deleting(one):
            step.delete(slot, "its pod has ended")
        return True
    if pod.phase(one) == "Pending":
        step.make_claims(slot)
    if ordered and not step.is_available(one):
        step.wait(slot, "to end" if meta.is_deleting(one) else "to become available")
        return True
    step.repair(slot)
    return False


def _condemn(step: Step, slot: Slot, ordered: bool, unhealthy: Slot | None) -> bool:
    """Delete a pod that is too many. Whether those after it must wait."""
    assert slot.pod is not None
    if meta.is_deleting(slot.pod):
        step.wait(slot, "to end")
        return True
    if ordered and not step.is_available(slot.pod) and slot is not unhealthy:
        if unhealthy is not None:
            step.wait(unhealthy, "to become available before one above it is deleted")
        return True
    step.delete(slot, f"{workload.replicas(step.owner)} replicas are wanted")
    return True


def _first_unhealthy(step: Step, slots: Iterable[Slot], condemned: Iterable[Slot]) -> Slot | None:
    lowest = [slot for slot in slots if slot.pod is None or not step.is_healthy(slot.pod)]
    if lowest:
        return lowest[0]
    return next((slot for slot in condemned if slot.pod is not None and not step.is_healthy(slot.pod)), None)


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    keeping = history.Keeping(
        kind=SETS,
        hash_label=status.HASH_LABEL,
        hash=lambda owner, data: templates.data_hash(data, workload.count(owner, "collisionCount")),
        templates=templates.Templates(facts.schemas),
    )
    return (
        plan.Controller(
            name="statefulset-controller",
            kind=SETS,
            plan=partial(planned, keeping),
            is_causal=True,
            follows={pods.PODS: claims.follow(SETS, "StatefulSet", workload.selector), history.REVISIONS: plan.owner_key("StatefulSet")},
            reads=frozenset({identity.CLAIMS}),
        ),
    )
