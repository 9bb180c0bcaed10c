"""How long kubelets may keep ConfigMaps and Secrets before they ask again: longer, the bigger the cluster.

Upstream: pkg/controller/ttl. The steps have a slack, so that a cluster at an edge does not flap.
"""

from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View

NODES = "nodes"
ANNOTATION = "node.alpha.kubernetes.io/ttl"
# (fewest nodes, most nodes, seconds)
STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 2**31, 300))


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(NODES, *key)
    if one is None:
        return plan.NOTHING
    size, present = view.count(NODES, NAMESPACE, ""), meta.annotations(one).get(ANNOTATION)
    fitting = [str(seconds) for fewest, most, seconds in STEPS if fewest <= size <= most]
    if present in fitting:
        return plan.NOTHING
    body = meta.put(one, ("metadata", "annotations", ANNOTATION), fitting[0])
    return plan.plan_of([plan.Update(kind=NODES, body=body, why=f"the cluster has {size} nodes")])


CONTROLLER = plan.Controller(name="ttl-controller", kind=NODES, plan=planned)
