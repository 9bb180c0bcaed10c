"""NodePorts: ports of the host that pods on the node have taken."""

import numpy as np

from reconciler.model import meta
from reconciler.placement import pods, ports
from reconciler.placement.ports import HostPort
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Case, Filter, Scope, Verdict, added, verdict
from reconciler.scheduler.shape import Shape


def check(case: Case, rows: Rows) -> Verdict | None:
    if not case.shape.ports:
        return None
    table = case.table
    taken = np.zeros(table.size, dtype=np.bool_)
    for port in case.shape.ports:
        for row, addresses in table.port_users.get((port.protocol, port.port), {}).items():
            if any(port.collides(HostPort(address, port.protocol, port.port)) for address in addresses):
                taken[row] = True
    return verdict(taken[rows], "node(s) didn't have free ports for the requested pod ports")


def concerns(shape: Shape) -> bool:
    return bool(shape.ports)


def frees_port(shape: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A pod with one of the ports left its node or ended."""
    gone = old is not None and bool(pods.node_name(old)) and not pods.is_over(old) and (new is None or pods.is_over(new))
    return gone and old is not None and ports.collide(shape.ports, ports.of_pod(old))


FILTER = Filter(name="NodePorts", scope=Scope.PODS, check=check, concerns=concerns, helped_by={"nodes": added, "pods": frees_port})
