"""ReplicationController: ReplicaSet's older sibling, with a selector of plain labels."""

from reconciler.controllers import claims, replicas
from reconciler.kinds import replicationcontroller
from reconciler.model import meta, plan
from reconciler.model.view import View

KIND = "replicationcontrollers"
SORT = replicas.Sort(KIND, counts_terminating=False, component="replication-controller")


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    controller = view.get(KIND, *key)
    if controller is None:
        return plan.NOTHING
    return replicas.planned(view, controller, replicationcontroller.selector(controller), SORT, now)


CONTROLLER = plan.Controller(
    name="replicationcontroller-controller",
    kind=KIND,
    plan=planned,
    is_causal=True,
    follows={"pods": claims.follow(KIND, "ReplicationController", replicationcontroller.selector)},
)
