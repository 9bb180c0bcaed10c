"""Of too many finished pods the evicted go first, then the oldest; all others stay."""

from reconciler import kinds
from reconciler.controllers import podgc
from reconciler.loop.snapshot import Snapshot
from reconciler.model import meta, plan


def pod(name: str, phase: str, day: int, reason: str = "", deleted: bool = False) -> meta.Obj:
    metadata = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": f"2026-01-{day:02}T00:00:00Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-02-01T00:00:00Z"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": phase, "reason": reason}}


PODS = [
    pod("old", "Succeeded", 1),
    pod("evicted", "Failed", 9, "Evicted"),
    pod("young", "Failed", 8),
    pod("middle", "Succeeded", 5),
    pod("leaving", "Succeeded", 2, deleted=True),
    pod("running", "Running", 1),
]


def gone(most: int) -> list[str]:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    view = Snapshot.of(kinds.builtin(), [namespace, *PODS], {"pods", "namespaces"})
    found = podgc.finished_planned(view, podgc.EVERYWHERE, 0.0, most)
    assert all(isinstance(action, plan.Delete) and action.grace_seconds == 0 for action in found.actions)
    return [action.name for action in found.actions if isinstance(action, plan.Delete)]


def test_the_evicted_go_first_then_the_oldest() -> None:
    assert gone(4) == []
    assert gone(3) == ["evicted"]
    assert gone(2) == ["evicted", "old"]
    assert gone(0) == ["evicted", "old", "middle", "young"]


def test_who_wakes_it() -> None:
    (controller,) = [one for one in podgc.CONTROLLERS if one.plan is podgc.finished_planned]
    view = Snapshot.of(kinds.builtin(), [], {"pods", "namespaces"})
    follow = controller.follows["pods"]
    running, ended = pod("a", "Running", 1), pod("a", "Succeeded", 1)
    assert list(follow(view, running, ended)) == list(follow(view, None, ended)) == [podgc.EVERYWHERE]
    assert not [*follow(view, ended, ended), *follow(view, None, running), *follow(view, ended, None)]
