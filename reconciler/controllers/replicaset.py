"""ReplicaSet: a number of equal pods, whoever made them."""

from reconciler.controllers import claims, replicas
from reconciler.kinds import replicaset
from reconciler.model import meta, plan
from reconciler.model.view import View

KIND = "replicasets.apps"
SORT = replicas.Sort(KIND, counts_terminating=True, component="replicaset-controller")


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    replica_set = view.get(KIND, *key)
    if replica_set is None:
        return plan.NOTHING
    return replicas.planned(view, replica_set, replicaset.selector(replica_set), SORT, now)


CONTROLLER = plan.Controller(
    name="replicaset-controller",
    kind=KIND,
    plan=planned,
    is_causal=True,
    follows={"pods": claims.follow(KIND, "ReplicaSet", replicaset.selector)},
)
