"""NodeResourcesFit: what the pod asks for must be left of what the node offers.

A request above what the node offers even when empty is final: no eviction helps there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reconciler.model import meta
from reconciler.placement import requests
from reconciler.scheduler.columns import Rows
from reconciler.scheduler.rules import Bits, Case, Filter, Reason, Scope, Verdict, frees
from reconciler.scheduler.shape import Shape

NAME = "NodeResourcesFit"
TOO_MANY_PODS = Reason("Too many pods")


def check(case: Case, rows: Rows) -> Verdict | None:
    table, args = case.table, case.args(NAME)
    bits: Bits = (table.pod_count[rows] >= table.pods_allowed[rows]).astype(np.uint64)
    reasons = [TOO_MANY_PODS]
    for name, asked in case.shape.requests.items():
        if asked <= 0 or (args and is_ignored(name, args)):
            continue
        index = table.resources.get(name)
        if index is None:
            short = np.ones(len(bits), dtype=np.bool_)
            never = short
        else:
            offered = table.allocatable[index, rows]
            short = offered - table.requested[index, rows] < asked
            if not short.any():
                continue
            never = offered < asked
        bits |= (short & ~never).astype(np.uint64) << np.uint64(len(reasons))
        bits |= never.astype(np.uint64) << np.uint64(len(reasons) + 1)
        reasons += (Reason(f"Insufficient {name}"), Reason(f"Insufficient {name}", is_final=True))
    return Verdict(bits, tuple(reasons))


def is_ignored(name: str, args: Mapping[str, Any]) -> bool:
    """Extended resources that somebody else accounts for, by name or by the group before the slash."""
    if not requests.is_extended(name):
        return False
    return name in (args.get("ignoredResources") or ()) or name.split("/")[0] in (args.get("ignoredResourceGroups") or ())


def helped_by_node(shape: Shape, old: meta.Obj | None, new: meta.Obj | None) -> bool:
    """A node that would take the pod if it were empty is new, or offers more of what the pod asks for."""
    if new is None:
        return False
    offered = requests.allocatable(new)
    asked = {requests.PODS: 1, **{name: amount for name, amount in shape.requests.items() if amount > 0}}
    if any(amount > offered.get(name, 0) for name, amount in asked.items() if not requests.is_extended(name)):
        return False  # extended ones may be ignored by the profile
    before = requests.allocatable(old) if old is not None else {}
    return any(offered.get(name, 0) > before.get(name, 0) for name in asked)


FILTER = Filter(
    name=NAME,
    scope=Scope.SUMS,
    check=check,
    helped_by={"nodes": helped_by_node, "pods": frees},
)
