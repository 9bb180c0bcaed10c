"""TaintToleration: NoSchedule and NoExecute taints keep out pods that do not tolerate them."""

from reconciler.model import meta
from reconciler.placement import taints
from reconciler.scheduler import match
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, node_admits, verdict
from reconciler.scheduler.shape import Shape


def check(case: Case, rows: Rows) -> Verdict | None:
    tolerable = match.tolerable(case)
    return None if tolerable is None else verdict(~tolerable[rows], "node(s) had untolerated taint(s)", is_final=True)


def admits(shape: Shape, node: meta.Obj) -> bool:
    return taints.untolerated(taints.of_node(node), shape.tolerations) is None


FILTER = Filter(name="TaintToleration", scope=Scope.NODE, check=check, helped_by={"nodes": node_admits(admits)})
