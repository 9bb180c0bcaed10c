"""NodePorts: ports of the host that pods on the node have taken."""

import numpy as np

from reconciler.placement.ports import HostPort
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, added, frees, verdict


def check(case: Case, rows: Rows) -> Verdict | None:
    table = case.table
    taken = np.zeros(table.size, dtype=np.bool_)
    for port in case.shape.ports:
        for row, addresses in table.port_users.get((port.protocol, port.port), {}).items():
            if any(port.collides(HostPort(address, port.protocol, port.port)) for address in addresses):
                taken[row] = True
    return verdict(taken[rows], "node(s) didn't have free ports for the requested pod ports") if case.shape.ports else None


FILTER = Filter(name="NodePorts", scope=Scope.PODS, check=check, helped_by={"nodes": added, "pods": frees})
