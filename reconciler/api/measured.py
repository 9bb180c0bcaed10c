"""metrics.k8s.io: the nodes' own measurements, as the objects that `kubectl top` asks for.

Each is shown with the labels of the node or pod that it is about; what the API does not know is not shown.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson

from reconciler.api.cache import Cache, Item
from reconciler.client import usage
from reconciler.kinds import measured
from reconciler.kit import clock
from reconciler.model import meta, quantity
from reconciler.model.kind import Kind


class Measured:
    def __init__(self, cache: Cache, sources: Sequence[usage.Source]) -> None:
        self._cache = cache
        self._sources = sources

    def answers(self, kind: Kind) -> bool:
        return kind.id in (measured.NODES.id, measured.PODS.id)

    async def items(self, kind: Kind) -> list[tuple[str, Item]]:
        """All of a kind in the order of their keys, which come along."""
        make = self._nodes if kind.id == measured.NODES.id else self._pods
        found = [one async for one in self._each(make)]
        return sorted(found, key=lambda pair: pair[0])

    async def item(self, kind: Kind, namespace: str, name: str) -> Item | None:
        wanted = f"{namespace}/{name}" if namespace else name
        return next((item for key, item in await self.items(kind) if key == wanted), None)

    async def _each(self, make: Any) -> AsyncIterator[tuple[str, Item]]:
        for source in self._sources:
            for node in await source.usage():
                for pair in make(node):
                    yield pair

    def _nodes(self, node: usage.Node) -> Iterator[tuple[str, Item]]:
        known = self._cache.get("nodes", "", node.name)
        if known is not None:
            body = _body(measured.NODES, known.obj, node.timestamp, node.window_seconds)
            body["usage"] = _usage(node.cpu_nanocores, node.memory_working_set_bytes)
            yield node.name, Item(body, 0, orjson.dumps(body))

    def _pods(self, node: usage.Node) -> Iterator[tuple[str, Item]]:
        for pod in node.pods:
            known = self._cache.get("pods", pod.namespace, pod.name)
            if known is None or meta.uid(known.obj) != pod.uid:
                continue
            body = _body(measured.PODS, known.obj, pod.timestamp, pod.window_seconds)
            body["containers"] = [
                {"name": one.name, "usage": _usage(one.cpu_nanocores, one.memory_working_set_bytes)} for one in pod.containers
            ]
            yield f"{pod.namespace}/{pod.name}", Item(body, 0, orjson.dumps(body))


def _body(kind: Kind, about: meta.Obj, timestamp: float, window_seconds: float) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": meta.name(about)}
    if namespace := meta.namespace(about):
        metadata["namespace"] = namespace
    metadata["creationTimestamp"] = clock.rfc3339(timestamp)
    if meta.labels(about):
        metadata["labels"] = meta.labels(about)
    times = {"timestamp": clock.rfc3339(timestamp), "window": f"{window_seconds:.3f}s"}
    return {"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata, **times}


def _usage(cpu_nanocores: int, memory_bytes: int) -> dict[str, str]:
    kibibytes = -(-memory_bytes // 1024)
    return {"cpu": str(quantity.Quantity(cpu_nanocores)), "memory": f"{kibibytes}Ki" if kibibytes else "0"}
