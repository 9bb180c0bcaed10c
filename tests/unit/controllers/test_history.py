"""ControllerRevisions as Kubernetes writes them."""

from typing import Any

import pytest

from reconciler import controllers, kinds
from reconciler.controllers import templates
from reconciler.kit import clock, definitions
from reconciler.loop.snapshot import Snapshot
from reconciler.model import plan
from reconciler.model.schema import Schemas

CONTROLLERS = controllers.builtin(controllers.Facts(schemas=Schemas(definitions.load(), definitions.shapes())))
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i", "args": ["<1>"]}]}}
TEXT = b'{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"args":["\\u003c1\\u003e"],"image":"i","name":"c"}]}}}}'  # fmt: skip  # noqa: E501


def created(kind: str, controller_name: str, collisions: int | None) -> Any:
    owner = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "o" * 230, "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE},
        "status": {} if collisions is None else {"collisionCount": collisions},
    }
    (controller,) = [one for one in CONTROLLERS if one.name == controller_name]
    view = Snapshot.of(kinds.builtin(), [owner], {controller.kind, *controller.follows, *controller.reads})
    actions = controller.plan(view, ("ns", "o" * 230), clock.parse_rfc3339("2026-01-01T12:00:00Z")).actions
    return next(action.body for action in actions if isinstance(action, plan.Create))


@pytest.mark.parametrize(("kind", "controller"), [("StatefulSet", "statefulset-controller"), ("DaemonSet", "daemonset-controller")])
def test_revisions_hold_the_text_that_kubernetes_compares(kind: str, controller: str) -> None:
    assert created(kind, controller, None)["data"].text == TEXT


def test_a_statefulset_names_its_revision_by_the_text() -> None:
    made = created("StatefulSet", "statefulset-controller", 2)
    hash = templates.data_hash(made["data"], 2)
    assert made["metadata"]["name"] == "o" * 223 + "-" + hash
    assert made["metadata"]["labels"] == {"app": "a", "controller.kubernetes.io/hash": hash}


def test_a_daemonset_names_its_revision_as_a_deployment_its_replica_set() -> None:
    known = templates.Templates(Schemas(definitions.load(), definitions.shapes()))
    for collisions in (None, 2):
        made = created("DaemonSet", "daemonset-controller", collisions)
        assert made["metadata"]["labels"]["controller-revision-hash"] == known.hash(TEMPLATE, collisions)
