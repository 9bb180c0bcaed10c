"""NodeName: a pod that names its node goes nowhere else.

Pods in the queue name none, for with spec.nodeName they count as placed; explanations and what-if ask for others.
"""

import numpy as np

from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, added, verdict


def check(case: Case, rows: Rows) -> Verdict | None:
    if not case.node_name:
        return None
    others = np.ones(case.table.size, dtype=np.bool_)
    row = case.table.row_of.get(case.node_name)
    if row is not None:
        others[row] = False
    return verdict(others[rows], "node(s) didn't match the requested node name", is_final=True)


FILTER = Filter(name="NodeName", scope=Scope.NODE, check=check, helped_by={"nodes": added})
