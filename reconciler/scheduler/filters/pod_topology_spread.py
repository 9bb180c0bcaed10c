"""PodTopologySpread, whenUnsatisfiable DoNotSchedule: no domain may run ahead of the emptiest by more than maxSkew.

Domains are the values of the topology key on nodes that have all keys and pass the inclusion policies. Fewer of
them than minDomains count as if one were empty. Terminating pods are not counted.
"""

import numpy as np

from reconciler.model import meta
from reconciler.scheduler import spreading
from reconciler.scheduler.columns import MISSING, Rows
from reconciler.scheduler.filters.inter_pod_affinity import may_match, moved
from reconciler.scheduler.rules import Case, Filter, Reason, Scope, Verdict
from reconciler.scheduler.shape import Shape

REASONS = (
    Reason("node(s) didn't match pod topology spread constraints (missing required label)", is_final=True),
    Reason("node(s) didn't match pod topology spread constraints"),
)


def check(case: Case, rows: Rows) -> Verdict | None:
    table = case.table
    constraints = spreading.constraints(case, spreading.REQUIRED)
    if not constraints:
        return None
    bits = np.zeros(table.size, dtype=np.uint64)
    counted = np.logical_and.reduce([table.labels(one.topology_key).codes[: table.size] != MISSING for one in constraints])
    for one in constraints:
        column = table.labels(one.topology_key)
        codes = column.codes[: table.size]
        eligible = spreading.included(case, one)
        here = counted if eligible is None else counted & eligible
        sums = column.sums(np.where(here, table.census.count((one.pods,), live_only=True)[: table.size], 0))
        domains = np.zeros(len(sums), dtype=np.bool_)
        domains[codes[here]] = True
        seen = sums[domains]
        fewest = seen.min() if len(seen) >= max(one.min_domains, 1) else 0
        own = int(one.pods.selector.matches(case.shape.labels))
        late = sums[codes] + own - fewest > one.max_skew
        bits = np.where(bits == 0, np.where(codes == MISSING, 1, np.where(late, 2, 0)).astype(np.uint64), bits)
    return Verdict(bits[rows], REASONS)


def helped_by_pod(shape: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A pod that a constraint counts came, left, began to terminate, or changed its labels; by default constraints any."""
    if not moved(old, new) and not (old is not None and new is not None and meta.is_deleting(old) != meta.is_deleting(new)):
        return False
    return not shape.spread or any(pod is not None and may_match(one.pods, pod) for one in shape.spread for pod in (old, new))


def helped_by_node(_: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A node, and so perhaps a domain, came or went, or counts otherwise than before."""
    if old is None or new is None:
        return True
    return meta.labels(old) != meta.labels(new) or meta.spec(old).get("taints") != meta.spec(new).get("taints")


FILTER = Filter(
    name=spreading.NAME,
    scope=Scope.CLUSTER,
    check=check,
    helped_by={"nodes": helped_by_node, "pods": helped_by_pod},
)
