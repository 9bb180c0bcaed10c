"""The cluster as columns: one row per node, one vector per fact, kept up to date change by change.

Invariants:
- What a row says is requested is the sum over the pods in `pods[row]`, assumed and nominated ones included.
- Assumed pods are the scheduler's own bindings that the cache has not shown yet; `forget` takes one back.
- Nominated pods hold their place on the node that preemption is making room on.
- Every change of a row is in the log, so that whoever keeps results per row can renew just those; a change of
  anything but pods (a node's labels, taints or capacity, a namespace, a service) moves `facts_generation` and
  spoils all results.

The table knows no rule: filters and scores read it. It is the one place where the scheduler changes in place.
"""

import contextlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from reconciler.model import meta
from reconciler.placement import pods as pod_facts
from reconciler.placement import requests, taints
from reconciler.placement.ports import HostPort
from reconciler.scheduler import columns
from reconciler.scheduler.census import Census
from reconciler.scheduler.shape import Shape, Shapes, resizing

FIRST_CAPACITY = 64
MAX_LOG = 200_000
VALUES_A_ROW = 4  # distinct label values a column may remember for each row before it is made anew
NO_PODS = np.iinfo(np.int64).max  # lowest priority on a node without pods

BASE_RESOURCES = (requests.CPU, requests.MEMORY, requests.EPHEMERAL_STORAGE)


class Held:
    """A pod that takes its share of a node."""

    __slots__ = ("assumed", "key", "node", "nominated", "pod", "row", "shape", "terminating", "vector")

    def __init__(self, pod: meta.Obj, shape: Shape, node: str, *, assumed: bool = False, nominated: bool = False) -> None:
        self.pod = pod
        self.key = meta.key(pod)
        self.shape = shape
        self.node = node
        self.row = -1  # while the node is unknown
        self.terminating = meta.is_deleting(pod)
        self.assumed = assumed
        self.nominated = nominated
        self.vector: columns.Ints | None = None


class Table:
    def __init__(self) -> None:
        self.shapes = Shapes()
        self.capacity = FIRST_CAPACITY
        self.size = 0  # rows in use, dead ones between them included
        self.names: list[str] = []
        self.row_of: dict[str, int] = {}
        self.nodes: list[meta.Obj] = []
        self.pods: list[dict[meta.Key, Held]] = []
        self.held: dict[meta.Key, Held] = {}
        self.nominations: dict[meta.Key, Held] = {}
        self.nominated_priorities: Counter[int] = Counter()
        self.volume_users: dict[int, dict[meta.Key, Held]] = {}  # row -> pods with volumes that rules read
        self.claim_users: dict[meta.Key, dict[int, int]] = {}  # claim -> row -> pods
        self.assumed_volumes: dict[str, meta.Key] = {}  # volume -> the claim it was chosen for, until the cache shows it
        self.assumed_claims: dict[meta.Key, str] = {}  # claim -> node it is being provisioned for
        self.port_users: dict[tuple[str, int], dict[int, dict[str, int]]] = {}  # protocol, port -> row -> address -> pods
        self.images: dict[str, dict[int, int]] = {}  # image -> row -> bytes
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.facts_generation = 0
        self.live_nodes = 0
        self._free: list[int] = []
        self._waiting: dict[str, dict[meta.Key, Held]] = {}  # node that is not there -> its pods
        self._log: list[int] = []
        self._logged = 0  # entries dropped from the head of the log
        self.resources: dict[str, int] = {name: index for index, name in enumerate(BASE_RESOURCES)}
        self.versions: columns.Ints = np.zeros(self.capacity, dtype=np.int64)  # generation that last changed the row
        self.alive: columns.Mask = np.zeros(self.capacity, dtype=np.bool_)
        self.allocatable: columns.Ints = np.zeros((len(self.resources), self.capacity), dtype=np.int64)
        self.requested: columns.Ints = np.zeros((len(self.resources), self.capacity), dtype=np.int64)
        self.usual_requested: columns.Ints = np.zeros((2, self.capacity), dtype=np.int64)  # CPU, memory
        self.pods_allowed: columns.Ints = np.zeros(self.capacity, dtype=np.int64)
        self.pod_count: columns.Ints = np.zeros(self.capacity, dtype=np.int64)
        self.name_hashes: columns.Words = np.zeros(self.capacity, dtype=np.uint64)
        self.lowest_priority: columns.Ints = np.full(self.capacity, NO_PODS, dtype=np.int64)
        self.unschedulable: columns.Mask = np.zeros(self.capacity, dtype=np.bool_)
        self.taint_codes: columns.Codes = np.zeros(self.capacity, dtype=np.int32)
        self.taint_sets: list[tuple[taints.Taint, ...]] = [()]
        self._taint_code: dict[tuple[taints.Taint, ...], int] = {(): 0}
        self._labels: dict[str, columns.LabelColumn] = {}
        self.census = Census(self.capacity, self.namespace_labels)

    # Reading.

    @property
    def everything(self) -> slice:
        return slice(0, self.size)

    @property
    def generation(self) -> int:
        """Grows with every change of a row."""
        return self._logged + len(self._log)

    def changed_since(self, generation: int) -> list[int] | None:
        """Rows whose pods changed after `generation`, None when that is too long ago to say."""
        first = generation - self._logged
        return None if first < 0 else list(dict.fromkeys(self._log[first:]))

    def labels(self, key: str) -> columns.LabelColumn:
        """The column of a label; made when a rule first asks for it."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = columns.LabelColumn(self.capacity)
            for row in self.row_of.values():
                column.set(row, meta.labels(self.nodes[row]).get(key))
        return column

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        return self.namespaces.get(namespace, meta.EMPTY)

    def resource(self, name: str) -> int | None:
        """The index of a resource's row in `allocatable` and `requested`; None if no node and no pod names it."""
        return self.resources.get(name)

    # Nodes.

    def set_node(self, node: meta.Obj) -> bool:
        """Take over a node as it is now; False if nothing that placement reads has changed."""
        name = meta.name(node)
        row = self.row_of.get(name)
        if row is not None and _same_for_placement(self.nodes[row], node):
            self.nodes[row] = node
            return False
        if row is None:
            row = self._new_row(name)
        else:
            self._drop_images(row)
        self.nodes[row] = node
        self._fill(row, node)
        for held in self._waiting.pop(name, {}).values():
            self._sit(held, row)
        self.facts_generation += 1
        self._log_row(row)
        return True

    def remove_node(self, name: str) -> None:
        row = self.row_of.pop(name, None)
        if row is None:
            return
        for held in list(self.pods[row].values()):
            self._rise(held)
            self._waiting.setdefault(name, {})[held.key] = held
        self._drop_images(row)
        self.alive[row] = False
        for key, column in list(self._labels.items()):
            column.set(row, None)
            if len(column.values) > VALUES_A_ROW * self.capacity:
                del self._labels[key]  # nodes come and go: mostly values that nobody has any more
        self.allocatable[:, row] = 0
        self.live_nodes -= 1
        self._free.append(row)
        self.facts_generation += 1
        self._log_row(row)

    # Pods.

    def set_pod(self, pod: meta.Obj) -> None:
        """Take over a pod as the cache has it: on its node while it is bound and has not ended, else nowhere."""
        key = meta.key(pod)
        node = pod_facts.node_name(pod)
        old = self.held.get(key)
        if pod_facts.is_over(pod) or not node:
            if old is not None and (pod_facts.is_over(pod) or not (old.assumed or old.nominated)):
                self._leave(old)
            return
        if old is not None:
            shape = old.shape if _same_template(old.pod, pod) else self.shapes.of(pod)
            if old.node == node and old.shape is shape and old.terminating == meta.is_deleting(pod) and not old.nominated:
                old.pod, old.assumed = pod, False
                return
            self._leave(old)
            self._enter(Held(pod, shape, node))
        else:
            self._enter(Held(pod, self.shapes.of(pod), node))

    def remove_pod(self, key: meta.Key) -> None:
        held = self.held.get(key)
        if held is not None:
            self._leave(held)

    def assume(self, pod: meta.Obj, shape: Shape, node: str) -> None:
        """Count `pod` on `node` before the cache shows it there."""
        held = Held(pod, shape, node, assumed=True)
        self.remove_pod(held.key)
        self._enter(held)

    def nominate(self, pod: meta.Obj, shape: Shape, node: str) -> None:
        """Keep room for `pod` on `node`, which preemption is clearing."""
        held = Held(pod, shape, node, nominated=True)
        self.remove_pod(held.key)
        self.nominations[held.key] = held
        self.nominated_priorities[shape.priority] += 1
        self._enter(held)

    def nominated_below(self, priority: int) -> list[Held]:
        """Nominated pods of lower rank, on nodes that are there."""
        if not self.nominations or min(self.nominated_priorities) >= priority:
            return []
        return [held for held in self.nominations.values() if held.shape.priority < priority and held.row >= 0]

    def forget(self, key: meta.Key) -> None:
        """Take back an assumed or nominated pod; one that the cache has shown on its node stays."""
        held = self.held.get(key)
        if held is not None and (held.assumed or held.nominated):
            self._leave(held)

    @contextlib.contextmanager
    def supposing(self, shape: Shape, rows: columns.Rows) -> Iterator[None]:
        """The sums of `rows` as if each held one more pod of `shape`, for a look ahead; nothing is logged."""
        self._suppose(shape, rows, 1)
        try:
            yield
        finally:
            self._suppose(shape, rows, -1)

    def _suppose(self, shape: Shape, rows: columns.Rows, pods: int) -> None:
        vector, usual = self._vector(shape), shape.usual_requests
        self.requested[: len(vector), rows] += pods * vector[:, None]
        for index, resource in enumerate((requests.CPU, requests.MEMORY)):
            self.usual_requested[index, rows] += pods * usual.get(resource, 0)
        self.pod_count[rows] += pods

    def lift(self, helds: Iterable[Held]) -> None:
        """Take pods off their rows for a moment; `put_back` must follow before anything else happens."""
        for held in helds:
            self._rise(held)

    def put_back(self, helds: Iterable[Held]) -> None:
        for held in helds:
            self._sit(held, self.row_of[held.node])

    # Other facts.

    def spoil(self) -> None:
        """Something that rules read and that is no column (a service, an owner, a volume) has changed."""
        self.facts_generation += 1

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        if self.namespaces.get(name) == labels:
            return
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        self.census.forget_matches()
        self.facts_generation += 1

    # How rows change.

    def _enter(self, held: Held) -> None:
        self.held[held.key] = held
        row = self.row_of.get(held.node)
        if row is None:
            self._waiting.setdefault(held.node, {})[held.key] = held
        else:
            self._sit(held, row)

    def _leave(self, held: Held) -> None:
        del self.held[held.key]
        if held.nominated:
            del self.nominations[held.key]
            self.nominated_priorities[held.shape.priority] -= 1
            if not self.nominated_priorities[held.shape.priority]:
                del self.nominated_priorities[held.shape.priority]
        if held.row >= 0:
            self._rise(held)
            return
        waiting = self._waiting[held.node]
        del waiting[held.key]
        if not waiting:
            del self._waiting[held.node]

    def _sit(self, held: Held, row: int) -> None:
        held.row = row
        held.vector = self._vector(held.shape)
        self.pods[row][held.key] = held
        self.lowest_priority[row] = min(int(self.lowest_priority[row]), held.shape.priority)
        self._count(held, row, 1)

    def _rise(self, held: Held) -> None:
        row, held.row = held.row, -1
        here = self.pods[row]
        del here[held.key]
        if held.shape.priority == self.lowest_priority[row]:
            self.lowest_priority[row] = min((other.shape.priority for other in here.values()), default=NO_PODS)
        self._count(held, row, -1)

    def _count(self, held: Held, row: int, step: int) -> None:
        shape, vector = held.shape, held.vector
        assert vector is not None
        self.requested[: len(vector), row] += vector if step > 0 else -vector
        usual = shape.usual_requests
        self.usual_requested[0, row] += step * usual.get(requests.CPU, 0)
        self.usual_requested[1, row] += step * usual.get(requests.MEMORY, 0)
        self.pod_count[row] += step
        self.census.add(shape, held.terminating, row, step)
        for port in shape.ports:
            self._use_port(port, row, step)
        if shape.volumes:
            self._use_volumes(held, row, step)
        self._log_row(row)

    def _use_port(self, port: HostPort, row: int, step: int) -> None:
        users = self.port_users.setdefault((port.protocol, port.port), {})
        addresses = users.setdefault(row, {})
        addresses[port.address] = addresses.get(port.address, 0) + step
        if not addresses[port.address]:
            del addresses[port.address]
            if not addresses:
                del users[row]
                if not users:
                    del self.port_users[port.protocol, port.port]

    def _use_volumes(self, held: Held, row: int, step: int) -> None:
        users = self.volume_users.setdefault(row, {})
        if step > 0:
            users[held.key] = held
        else:
            del users[held.key]
            if not users:
                del self.volume_users[row]
        for name, _ in held.shape.claims:
            claim = (held.shape.namespace, name)
            rows = self.claim_users.setdefault(claim, {})
            rows[row] = rows.get(row, 0) + step
            if not rows[row]:
                del rows[row]
                if not rows:
                    del self.claim_users[claim]

    def _vector(self, shape: Shape) -> columns.Ints:
        """A shape's requests in the order of `resources`, shorter where later resources do not matter to it."""
        vector: columns.Ints | None = shape.vector
        if vector is None:
            for name in shape.requests:
                self._resource_row(name)
            found = np.zeros(max((self.resources[name] + 1 for name in shape.requests), default=0), dtype=np.int64)
            for name, asked in shape.requests.items():
                found[self.resources[name]] = asked
            vector = shape.vector = found
        return vector

    def _new_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
            self.names[row] = name
        else:
            row = self.size
            if row == self.capacity:
                self._grow()
            self.size += 1
            self.names.append(name)
            self.nodes.append(meta.EMPTY)
            self.pods.append({})
        self.row_of[name] = row
        self.name_hashes[row] = zlib.crc32(name.encode())
        self.alive[row] = True
        self.live_nodes += 1
        return row

    def _fill(self, row: int, node: meta.Obj) -> None:
        amounts = requests.allocatable(node)
        self.pods_allowed[row] = amounts.pop(requests.PODS, 0)
        for name in amounts:
            self._resource_row(name)
        self.allocatable[:, row] = 0
        for name, amount in amounts.items():
            self.allocatable[self.resources[name], row] = amount
        self.unschedulable[row] = bool(meta.spec(node).get("unschedulable"))
        own = taints.of_node(node)
        code = self._taint_code.get(own)
        if code is None:
            code = self._taint_code[own] = len(self.taint_sets)
            self.taint_sets.append(own)
        self.taint_codes[row] = code
        labels = meta.labels(node)
        for key, column in self._labels.items():
            column.set(row, labels.get(key))
        for image in meta.status(node).get("images") or ():
            for image_name in image.get("names") or ():
                self.images.setdefault(image_name, {})[row] = int(image.get("sizeBytes") or 0)

    def _drop_images(self, row: int) -> None:
        for image in meta.status(self.nodes[row]).get("images") or ():
            for name in image.get("names") or ():
                rows = self.images.get(name)
                if rows is not None and rows.pop(row, None) is not None and not rows:
                    del self.images[name]

    def _resource_row(self, name: str) -> None:
        if name not in self.resources:
            self.resources[name] = len(self.resources)
            empty = np.zeros((1, self.capacity), dtype=np.int64)
            self.allocatable = np.concatenate((self.allocatable, empty))
            self.requested = np.concatenate((self.requested, empty))

    def _grow(self) -> None:
        capacity = self.capacity = 2 * self.capacity
        vectors: dict[str, Any] = {
            name: columns.grown(getattr(self, name), capacity)
            for name in (
                "alive",
                "allocatable",
                "requested",
                "usual_requested",
                "pods_allowed",
                "pod_count",
                "name_hashes",
                "unschedulable",
                "taint_codes",
                "versions",
            )
        }
        for name, values in vectors.items():
            setattr(self, name, values)
        self.lowest_priority = np.concatenate(
            (self.lowest_priority, np.full(capacity - len(self.lowest_priority), NO_PODS, dtype=np.int64))
        )
        for column in self._labels.values():
            column.codes = columns.grown(column.codes, capacity)
        self.census.grow(capacity)

    def _log_row(self, row: int) -> None:
        self._log.append(row)
        self.versions[row] = self._logged + len(self._log)
        if len(self._log) > MAX_LOG:
            self._logged += MAX_LOG // 2
            del self._log[: MAX_LOG // 2]


def _same_template(old: meta.Obj, new: meta.Obj) -> bool:
    """Whether two states of a pod share what their shape is made of, as a bound pod does with the pending one."""
    if old is new:
        return True
    same_spec = meta.spec(old).get("containers") is meta.spec(new).get("containers")
    same_labels = meta.meta(old).get("labels") is meta.meta(new).get("labels")
    return same_spec and same_labels and (meta.status(old) is meta.status(new) or resizing(old) == resizing(new))


def _same_for_placement(old: meta.Obj, new: meta.Obj) -> bool:
    before, after = meta.status(old), meta.status(new)
    return (
        meta.labels(old) == meta.labels(new)
        and meta.spec(old).get("unschedulable") == meta.spec(new).get("unschedulable")
        and meta.spec(old).get("taints") == meta.spec(new).get("taints")
        and before.get("allocatable") == after.get("allocatable")
        and before.get("capacity") == after.get("capacity")
        and before.get("images") == after.get("images")
    )
