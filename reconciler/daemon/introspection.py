"""What only this program can answer: why something runs, what a controller waits for, is everything well.

Served under /reconciler/ on the API's own doors, to its administrators. Everything is computed when asked, from
the journal's provenance, the drivers' plans and the cache; nothing is kept for it.
"""

import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from reconciler import __version__
from reconciler.client import usage
from reconciler.daemon import hindsight
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.loop import cache as caches
from reconciler.loop import driver as drivers
from reconciler.model import errors, meta, plan
from reconciler.model.kind import Health
from reconciler.model.view import NAMESPACE
from reconciler.store import types

MAX_UNHEALTHY = 100
SHORT_ID = 8  # letters of a container's ID that tell it from others
SHOWN_KINDS = ("deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "pods", "jobs.batch", "services", "nodes")


class Node(Protocol):
    """What the node agent knows of processes."""

    def pod_of(self, pid: int) -> tuple[meta.Key, str] | None:
        """The pod that a process belongs to, and the container in words; None for any other process."""

    def notes_on(self, key: meta.Key) -> Sequence[str]:
        """What is known of a pod's containers here, such as their PIDs."""


class Scheduler(Protocol):
    """What the scheduler says of pods."""

    def explain(self, pod: meta.Obj) -> Sequence[str]:
        """Lines: where it stands in the queue, and the verdict of each filter and score on the nodes; bounded."""


class Folder(Protocol):
    """What the GitOps agent says of the folders that it follows."""

    def report(self) -> Sequence[Mapping[str, Any]]: ...

    async def history(self, name: str) -> Sequence[Mapping[str, Any]]: ...

    async def rollback(self, name: str, revision: int) -> int: ...


class Introspection:
    """Answers by path; raises StatusError as the API does."""

    def __init__(
        self,
        journal: types.Journal,
        cache: caches.Cache,
        clock: clocks.Clock,
        all_drivers: Sequence[drivers.Driver],
        node: Node | None,
        folder: Folder | None,
        notes: Sequence[str],
        measuring: Sequence[usage.Source] = (),
    ) -> None:
        self._journal = journal
        self._cache = cache
        self._clock = clock
        self._drivers = all_drivers
        self._node = node
        self._folder = folder
        self._notes = notes
        self._measuring = measuring
        self._hindsight = hindsight.Hindsight(journal, cache)
        self.scheduler: Scheduler | None = None  # it starts last
        self._began = time.monotonic()

    async def answer(self, method: str, path: Sequence[str], body: Mapping[str, Any]) -> dict[str, Any]:
        """`path` is what follows /reconciler/, split and decoded."""
        match (method, *path):
            case ("GET", "status"):
                return self.status()
            case ("GET", "explain", kind, namespace, name):
                return self.explain(kind, "" if namespace == "-" else namespace, name)
            case ("GET", "why", "object", kind, namespace, name):
                return await self.why(kind, "" if namespace == "-" else namespace, name)
            case ("GET", "why", "pid", pid) if pid.isdecimal():
                return await self.why_process(int(pid))
            case ("GET", "past", *rest):
                return await self._hindsight.answer(rest)
            case ("GET", "why", "container", found):
                return await self.why_container(found)
            case ("GET", "usage"):
                return {"nodes": [_used(node) for source in self._measuring for node in await source.usage()]}
            case ("GET", "history", sync):
                return {"revisions": [dict(one) for one in await self._followed(sync).history(sync)]}
            case ("POST", "rollback", sync):
                return await self._rollback(sync, body)
            case ("POST", "snapshot"):
                await self._snapshot(body)
                return {}
            case ("POST", "compact"):
                await self._journal.compact(self._journal.revision)
                return {"oldestRevision": self._journal.oldest_revision}
        raise errors.StatusError(404, "NotFound", "the server could not find the requested resource")

    async def why(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        self._object(kind, namespace, name)
        links = await self._hindsight.links(types.key_of(kind, namespace, name))
        return {"object": hindsight.shown(kind, namespace, name), "links": links}

    async def why_process(self, pid: int) -> dict[str, Any]:
        found = self._node.pod_of(pid) if self._node is not None else None
        if found is None:
            raise errors.StatusError(404, "NotFound", f"process {pid} belongs to no pod of this node")
        (namespace, name), words = found
        return {"process": f"{pid} is {words}", **await self.why("pods", namespace, name)}

    async def why_container(self, wanted: str) -> dict[str, Any]:
        """By a container's ID or how it begins, as a runtime's own tools print it."""
        if len(wanted) < SHORT_ID:
            raise errors.bad_request(f"{wanted!r} is no container: write at least {SHORT_ID} letters of its ID")
        for obj in self._cache.every("pods"):
            for status in pod.container_statuses(obj):
                if str(status.get("containerID", "")).partition("://")[2].startswith(wanted.rpartition("://")[2]):
                    place = meta.key(obj)
                    words = f"container {status.get('name')} of pod {'/'.join(place)}"
                    return {"process": f"{wanted} is {words}", **await self.why("pods", *place)}
        raise errors.StatusError(404, "NotFound", f"{wanted} is no container of a pod, nor the beginning of one's ID")

    def explain(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        obj = self._object(kind, namespace, name)
        health = _leaving(obj) if meta.is_deleting(obj) else self._cache.roster[kind].health(obj)
        plans = [
            _explained(explanation, self._clock.now()) for driver in self._drivers for explanation in driver.find(kind, (namespace, name))
        ]
        notes = list(self._node.notes_on((namespace, name))) if self._node is not None and kind == "pods" else []
        return {
            "object": hindsight.shown(kind, namespace, name),
            "health": {"state": health.state, "message": health.message},
            "plans": plans,
            "scheduling": list(self.scheduler.explain(obj)) if self.scheduler is not None and kind == "pods" else [],
            "notes": notes,
        }

    def status(self) -> dict[str, Any]:
        kinds: dict[str, dict[str, int]] = {}
        unhealthy: list[dict[str, str]] = []
        namespaces = ["", *(meta.name(namespace) for namespace in self._cache.by("namespaces", NAMESPACE, ""))]
        for kind_id in SHOWN_KINDS:
            kind = self._cache.roster.get(kind_id)
            if kind is None:
                continue
            for namespace in namespaces:
                for obj in self._cache.by(kind_id, NAMESPACE, namespace):
                    health = kind.health(obj)
                    counts = kinds.setdefault(kind_id, {})
                    counts[health.state] = counts.get(health.state, 0) + 1
                    if health.state != "Healthy" and len(unhealthy) < MAX_UNHEALTHY:
                        unhealthy.append(
                            {"object": hindsight.shown(kind_id, *meta.key(obj)), "state": health.state, "message": health.message}
                        )
        syncs = [dict(sync) for sync in self._folder.report()] if self._folder is not None else []
        return {
            "version": f"reconciler {__version__}",
            "revision": self._journal.revision,
            "up_seconds": time.monotonic() - self._began,
            "healthy": not unhealthy and not any(sync["errors"] or sync["conditions"] for sync in syncs),
            "syncs": syncs,
            "kinds": kinds,
            "unhealthy": unhealthy,
            "notes": list(self._notes),
        }

    def _followed(self, sync: str) -> Folder:
        if self._folder is None or sync not in {str(one["name"]) for one in self._folder.report()}:
            raise errors.not_found("syncs", "reconciler.dev", sync)
        return self._folder

    async def _rollback(self, sync: str, body: Mapping[str, Any]) -> dict[str, Any]:
        revision = body.get("revision", 0)
        if not isinstance(revision, int) or revision < 0:
            raise errors.bad_request("want the number of a revision, as the history shows it")
        try:
            return {"revision": await self._followed(sync).rollback(sync, revision)}
        except KeyError:
            known = f"revision {revision} is not kept" if revision else "no earlier revision was healthy: name one"
            raise errors.bad_request(known) from None

    def _object(self, kind: str, namespace: str, name: str) -> meta.Obj:
        found = self._cache.roster.get(kind)
        if found is None:
            raise errors.bad_request(f"there is no kind {kind}")
        obj = self._cache.get(kind, namespace, name)
        if obj is None:
            raise errors.not_found(found.plural, found.group, name)
        return obj

    async def _snapshot(self, body: Mapping[str, Any]) -> None:
        path = pathlib.Path(str(body.get("path", "")))
        if not path.is_absolute():
            raise errors.bad_request("want the absolute path of a file that does not exist yet")
        try:
            await self._journal.snapshot(path)
        except OSError as error:
            raise errors.bad_request(f"{path}: {error.strerror or error}") from error


def _leaving(obj: meta.Obj) -> Health:
    held = f", held by the finalizers {', '.join(meta.finalizers(obj))}" if meta.finalizers(obj) else ""
    return Health("Progressing", f"it is being deleted since {meta.meta(obj)['deletionTimestamp']}{held}")


def _used(node: usage.Node) -> dict[str, Any]:
    """In the words of the kubelet's /stats/summary."""
    pods = [
        {
            "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "containers": [
                {"name": one.name, **_measured(pod.timestamp, one.cpu_nanocores, one.memory_working_set_bytes)} for one in pod.containers
            ],
        }
        for pod in node.pods
    ]
    whole = {"nodeName": node.name, **_measured(node.timestamp, node.cpu_nanocores, node.memory_working_set_bytes)}
    return {"node": whole, "windowSeconds": node.window_seconds, "pods": pods}


def _measured(timestamp: float, cpu_nanocores: int, working_set_bytes: int) -> dict[str, Any]:
    at = clocks.rfc3339(timestamp)
    return {"cpu": {"time": at, "usageNanoCores": cpu_nanocores}, "memory": {"time": at, "workingSetBytes": working_set_bytes}}


def _explained(explanation: drivers.Explanation, now: float) -> dict[str, Any]:
    return {
        "controller": explanation.controller,
        "actions": [_action(action) for action in explanation.plan.actions],
        "waiting_on": [waiting.on for waiting in explanation.plan.waiting_on]
        + [f"the cache of {kind} to reach revision {revision}" for kind, revision in explanation.gate.items()],
        "again_in_seconds": None if explanation.again_at is None else max(0.0, explanation.again_at - now),
        "error": explanation.error,
    }


def _action(action: plan.Action) -> str:
    verb = type(action).__name__.lower()
    kind = getattr(action, "kind", "")
    return " ".join(part for part in (verb, kind, f"({action.why})" if action.why else "") if part)
