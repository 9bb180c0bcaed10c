"""Nodes when the controllers have just begun: their leases are gone with the process before, but they are not."""

from reconciler import controllers, kinds
from reconciler.kit import clock
from reconciler.loop.snapshot import Snapshot
from reconciler.model import plan

NOW = clock.parse_rfc3339("2026-01-01T12:00:00Z")
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n", "uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T11:00:00Z"}]},
}


def planned(now: float) -> plan.Plan:
    (controller,) = [one for one in controllers.builtin(controllers.Facts(began=NOW)) if one.name == "node-lifecycle-controller"]
    view = Snapshot.of(kinds.builtin(), [NODE], {controller.kind, *controller.follows, *controller.reads})
    return controller.plan(view, ("", "n"), now)


def test_a_node_has_its_grace_from_the_beginning() -> None:
    assert planned(NOW + 1).actions == ()
    assert planned(NOW + 1).again_at == NOW + 50
    assert any("no sign of life" in action.why for action in planned(NOW + 51).actions)
