"""TaintToleration: NoSchedule and NoExecute taints keep out pods that do not tolerate them."""

from reconciler.scheduler import match
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, node_differs, verdict


def check(case: Case, rows: Rows) -> Verdict | None:
    tolerable = match.tolerable(case)
    return None if tolerable is None else verdict(~tolerable[rows], "node(s) had untolerated taint(s)", is_final=True)


FILTER = Filter(name="TaintToleration", scope=Scope.NODE, check=check, helped_by={"nodes": node_differs(("spec", "taints"))})
