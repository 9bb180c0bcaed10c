"""How many pods and nodes were in which state over time: counted as changes come, sampled at even distances."""

from collections import Counter
from dataclasses import dataclass

from reconciler.kinds import node, pod
from reconciler.loop.cache import Cache
from reconciler.model import meta

PODS, NODES = "pods", "nodes"


@dataclass(frozen=True, slots=True)
class Sample:
    seconds: float
    ready: int  # pods
    starting: int  # pods on a node, not ready
    waiting: int  # pods without a node
    ending: int  # pods told to end
    nodes: int  # that are ready


class Timeline:
    """Follows the pods and nodes of a world."""

    def __init__(self, cache: Cache) -> None:
        self._counts: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self.started = self.ended = 0  # pods, from the first on
        cache.subscribe([PODS], self._see_pod)
        cache.subscribe([NODES], self._see_node)

    def sample(self, seconds: float) -> None:
        counts = self._counts
        self.samples.append(
            Sample(seconds, counts["ready"], counts["starting"], counts["waiting"], counts["ending"], counts["node"])
        )  # fmt: skip

    def _see_pod(self, _: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if old is not None:
            self._counts[_state(old)] -= 1
        if new is not None:
            self._counts[_state(new)] += 1
        self.started += old is None
        self.ended += new is None

    def _see_node(self, _: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        self._counts["node"] += (new is not None and _is_ready(new)) - (old is not None and _is_ready(old))


def _state(one: meta.Obj) -> str:
    if meta.is_deleting(one):
        return "ending"
    if pod.is_terminal(one):
        return "over"
    if pod.is_ready(one):
        return "ready"
    return "starting" if pod.node_name(one) else "waiting"


def _is_ready(one: meta.Obj) -> bool:
    return (node.condition(one, "Ready") or meta.EMPTY).get("status") == "True"
