"""NodeUnschedulable: cordoned nodes take only pods that tolerate the taint a cordon stands for."""

from reconciler.placement import taints
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, node_differs, verdict


def check(case: Case, rows: Rows) -> Verdict | None:
    cordoned = case.table.unschedulable[rows]
    if not cordoned.any() or taints.is_tolerated(taints.UNSCHEDULABLE, case.shape.tolerations):
        return None
    return verdict(cordoned, "node(s) were unschedulable", is_final=True)


FILTER = Filter(name="NodeUnschedulable", scope=Scope.NODE, check=check, helped_by={"nodes": node_differs(("spec", "unschedulable"))})
