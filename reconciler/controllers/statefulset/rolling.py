"""Which pods a rolling update replaces now: from the highest ordinal down to the partition, few at a time."""

from collections.abc import Sequence

from reconciler.controllers import percentages
from reconciler.controllers.statefulset import status
from reconciler.controllers.statefulset.step import Slot, Step
from reconciler.kinds import statefulset, workload
from reconciler.model import meta


def replace_outdated(step: Step, slots: Sequence[Slot]) -> None:
    """Delete outdated pods as far as maxUnavailable allows; they are made anew from the new revision."""
    first, partition = statefulset.first_ordinal(step.owner), statefulset.partition(step.owner)
    budget = _max_unavailable(step) - sum(slot.pod is None or not step.is_available(slot.pod) for slot in slots)
    for slot in reversed(slots):
        if budget <= 0 or slot.ordinal < first + partition:
            return
        if slot.pod is None or meta.is_deleting(slot.pod) or status.revision_of(slot.pod) == meta.name(step.update):
            continue
        step.delete(slot, f"it is not of revision {meta.name(step.update)}")
        budget -= 1


def _max_unavailable(step: Step) -> int:
    strategy = meta.spec(step.owner).get("updateStrategy") or meta.EMPTY
    wanted = (strategy.get("rollingUpdate") or meta.EMPTY).get("maxUnavailable")
    return 1 if wanted is None else max(1, percentages.scaled(wanted, workload.replicas(step.owner), up=True))
