"""NodeUnschedulable: cordoned nodes take only pods that tolerate the taint a cordon stands for."""

from reconciler.model import meta
from reconciler.placement import taints
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, node_admits, verdict
from reconciler.scheduler.shape import Shape


def check(case: Case, rows: Rows) -> Verdict | None:
    cordoned = case.table.unschedulable[rows]
    if not cordoned.any() or taints.is_tolerated(taints.UNSCHEDULABLE, case.shape.tolerations):
        return None
    return verdict(cordoned, "node(s) were unschedulable", is_final=True)


def admits(_: Shape, node: meta.Obj) -> bool:
    return not meta.spec(node).get("unschedulable")


FILTER = Filter(name="NodeUnschedulable", scope=Scope.NODE, check=check, helped_by={"nodes": node_admits(admits)})
