"""Which pods go first when there are too many: kube-controller-manager's ActivePodsWithRanks.

Not yet on a node, pending, not ready, cheap by annotation, crowded on their node, ready for a short time, restarted
often, young. Ages are compared by their order of magnitude only, so that not always the newest go (LogarithmicScaleDown).
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.model import meta

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def first_to_go(pods: Sequence[meta.Obj], count: int, related: Iterable[meta.Obj], now: float) -> list[meta.Obj]:
    """The `count` pods that can best be spared; `related` are all pods of the same workload."""
    if count >= len(pods):
        return list(pods)
    crowd = Counter(pod.node_name(one) for one in related if pod.is_active(one))
    return heapq.nsmallest(count, pods, key=lambda one: _rank(one, crowd[pod.node_name(one)], now))


def _rank(one: meta.Obj, crowd: int, now: float) -> tuple[Any, ...]:
    ready = pod.is_ready(one)
    return (
        pod.is_scheduled(one),
        _PHASES.get(pod.phase(one), 0),
        ready,
        _cost(one),
        -crowd,
        _magnitude(pod.ready_since(one), now) if ready else 0,
        -_most_restarts(one, "containerStatuses"),
        -_most_restarts(one, "initContainerStatuses"),
        _magnitude(_created(one), now),
        meta.uid(one),
    )


def _cost(one: meta.Obj) -> int:
    try:
        return int(meta.annotations(one).get(COST_ANNOTATION, "0"))
    except ValueError:
        return 0


def _magnitude(since: float | None, now: float) -> int:
    """The order of magnitude of an age; what has no age goes first."""
    if since is None or now <= since:
        return -1
    return int(math.log2((now - since) * 1e9))


def _created(one: meta.Obj) -> float | None:
    created = meta.meta(one).get("creationTimestamp")
    return clocks.parse_rfc3339(created) if created else None


def _most_restarts(one: meta.Obj, statuses: str) -> int:
    return max((int(status.get("restartCount") or 0) for status in meta.status(one).get(statuses) or ()), default=0)
