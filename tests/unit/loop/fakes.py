"""A server in memory, honest about revisions and preconditions, and clients that may lose, delay or repeat.

Everything that goes wrong is drawn from one random.Random, so that a seed replays exactly.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.model import errors, meta, plan
from reconciler.model.kind import Kind, Version
from reconciler.model.roster import Roster


def kind(plural: str, name: str, group: str = "") -> Kind:
    return Kind(group=group, kind=name, plural=plural, singular=name.lower(), versions=(Version(name="v1", schema={}),))


PODS, MAPS, SETS = kind("pods", "Pod"), kind("configmaps", "ConfigMap"), kind("replicasets", "ReplicaSet", "apps")
ROSTER = Roster.of((PODS, MAPS, SETS))


class Server:
    """Objects by kind, a log of all changes, one revision for all kinds."""

    def __init__(self, roster: Roster = ROSTER) -> None:
        self.roster = roster
        self.revision = 0
        self.oldest = 0
        self.objects: dict[str, dict[meta.Key, meta.Obj]] = {one.id: {} for one in roster}
        self.log: list[tuple[str, protocol.Event]] = []
        self.grown = asyncio.Event()
        self.origins: list[protocol.Origin] = []

    def perform(self, action: plan.ApiAction, origin: protocol.Origin = protocol.Origin(actor="test")) -> protocol.Written:
        self.origins.append(origin)
        match action:
            case plan.Create():
                return self._create(action)
            case plan.Update():
                return self._update(action)
            case plan.Patch():
                return self._patch(action)
            case plan.Delete():
                return self._delete(action)

    def put(self, obj: Mapping[str, Any]) -> meta.Obj:
        """Create or replace `obj` as somebody else would."""
        found = self.roster.of_object(obj["apiVersion"], obj["kind"])
        assert found is not None
        old = self.objects[found.id].get(meta.key(obj))
        return self._store(found.id, dict(obj), old)

    def remove(self, kind_id: str, key: meta.Key) -> None:
        old = self.objects[kind_id].pop(key)
        self.revision += 1
        gone = meta.put(old, ("metadata", "resourceVersion"), str(self.revision))
        self._append(kind_id, protocol.Event("DELETED", gone, self.revision))

    def compact(self) -> None:
        """Forget all history: watches from before are told 410."""
        self.oldest = self.revision

    def _create(self, action: plan.Create) -> protocol.Written:
        found, key = self.roster[action.kind], meta.key(action.body)
        if action.guard is not None:
            self._existing(action.guard.kind, (action.guard.namespace, action.guard.name), "", action.guard.resource_version)
        if key in self.objects[action.kind]:
            raise errors.already_exists(found.plural, found.group, key[1])
        stored = self._store(action.kind, {**action.body, "apiVersion": found.api_version(), "kind": found.kind}, None)
        return protocol.Written(stored, self.revision)

    def _update(self, action: plan.Update) -> protocol.Written:
        old = self._existing(action.kind, meta.key(action.body), meta.uid(action.body), meta.resource_version(action.body))
        if action.subresource == "status":
            new = {**old, "status": action.body.get("status") or {}}
        else:
            new = {**action.body, "status": old.get("status") or {}}
        if new == {**old, "status": old.get("status") or {}}:
            return protocol.Written(old, 0)
        return protocol.Written(self._store(action.kind, new, old), self.revision)

    def _patch(self, action: plan.Patch) -> protocol.Written:
        old = self._existing(action.kind, (action.namespace, action.name), action.uid, action.resource_version)
        return protocol.Written(self._store(action.kind, {**old, **action.patch}, old), self.revision)

    def _delete(self, action: plan.Delete) -> protocol.Written:
        key = (action.namespace, action.name)
        old = self._existing(action.kind, key, action.uid, action.resource_version)
        self.remove(action.kind, key)
        return protocol.Written(old, self.revision)

    def _existing(self, kind_id: str, key: meta.Key, uid: str, version: str) -> meta.Obj:
        found, old = self.roster[kind_id], self.objects[kind_id].get(key)
        if old is None:
            raise errors.not_found(found.plural, found.group, key[1])
        if (uid and uid != meta.uid(old)) or (version and version != meta.resource_version(old)):
            raise errors.conflict(found.plural, found.group, key[1], "the object has been modified")
        return old

    def _store(self, kind_id: str, obj: dict[str, Any], old: meta.Obj | None) -> meta.Obj:
        self.revision += 1
        metadata = {**meta.meta(obj), "resourceVersion": str(self.revision)}
        metadata["uid"] = meta.uid(old) if old is not None else metadata.get("uid") or f"uid-{self.revision}"
        before = meta.generation(old) if old is not None else 0
        metadata["generation"] = before + (old is None or old.get("spec") != obj.get("spec"))
        new = {**obj, "metadata": metadata}
        self.objects[kind_id][meta.key(new)] = new
        self._append(kind_id, protocol.Event("ADDED" if old is None else "MODIFIED", new, self.revision))
        return new

    def _append(self, kind_id: str, event: protocol.Event) -> None:
        self.log.append((kind_id, event))
        self.grown.set()
        self.grown = asyncio.Event()


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances between 0 and 1, and the longest delays in seconds."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    broken_watch: float = 0.0
    write_delay_seconds: float = 0.0
    watch_delay_seconds: float = 0.0


class Client:
    """protocol.Client with one watch per kind."""

    def __init__(self, server: Server, clock: clocks.Clock, chance: random.Random | None = None, faults: Faults = Faults()) -> None:
        self.server = server
        self.clock = clock
        self.chance = chance or random.Random(0)
        self.faults = faults

    async def perform(
        self, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options = protocol.Options()
    ) -> protocol.Written:
        await self._delay(self.faults.write_delay_seconds)
        if self._happens(self.faults.lost_request):
            raise protocol.Unknown("the request was lost")
        written = self.server.perform(action, origin)
        await self._delay(self.faults.write_delay_seconds)
        if self._happens(self.faults.lost_answer):
            raise protocol.Unknown("the answer was lost")
        return written

    async def get(self, kind: str, namespace: str, name: str) -> meta.Obj:
        found = self.server.objects[kind].get((namespace, name))
        if found is None:
            raise errors.not_found(kind, "", name)
        return found

    async def list(self, kind: str, namespace: str | None = None, query: protocol.Query = protocol.Query()) -> protocol.Listing:
        return protocol.Listing(tuple(self.server.objects[kind].values()), self.server.revision)

    async def watch(
        self, kind: str, revision: int, namespace: str | None = None, query: protocol.Query = protocol.Query()
    ) -> AsyncIterator[tuple[protocol.Event, ...]]:
        server, seen = self.server, revision
        while True:
            if seen < server.oldest:
                raise errors.gone("too old")
            grown, reached = server.grown, server.revision
            await self._delay(self.faults.watch_delay_seconds)
            events = tuple(event for one, event in server.log if one == kind and seen < event.revision <= reached)
            if self._happens(self.faults.broken_watch):
                raise protocol.Unknown("the connection broke")
            if reached > seen:
                yield (*events, protocol.Event("BOOKMARK", {}, reached))
                seen = reached
            if server.revision == reached:
                await grown.wait()

    async def roster(self) -> Roster:
        return self.server.roster

    def _happens(self, chance: float) -> bool:
        return bool(chance) and self.chance.random() < chance

    async def _delay(self, longest_seconds: float) -> None:
        if longest_seconds:
            await self.clock.sleep(self.chance.random() * longest_seconds)


class FedClient(Client):
    """A client that also offers the feed, as the one in the journal's process does."""

    async def feed(self, revision: int) -> AsyncIterator[protocol.Step]:
        server, seen = self.server, revision
        position = next((at for at, (_, event) in enumerate(server.log) if event.revision > seen), len(server.log))
        while True:
            if seen < server.oldest:
                raise errors.gone("too old")
            grown, reached = server.grown, server.revision
            await self._delay(self.faults.watch_delay_seconds)
            if reached > seen:
                end = position + sum(1 for _, event in server.log[position:] if event.revision <= reached)
                yield protocol.Step(tuple(server.log[position:end]), reached)
                seen, position = reached, end
            if server.revision == reached:
                await grown.wait()


async def settle() -> None:
    """Return when every task waits for the clock or for nothing."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0)
        if not loop._ready:  # type: ignore[attr-defined]
            return


async def pass_time(clock: clocks.VirtualClock, seconds: float) -> None:
    """Let everything that is due within `seconds` happen in its order."""
    end = clock.monotonic() + seconds
    await settle()
    while (deadline := clock.next_deadline()) is not None and deadline <= end:
        clock.advance(max(0.0, deadline - clock.monotonic()))
        await settle()
    clock.advance(end - clock.monotonic())
    await settle()
