"""All Syncs of a daemon: the folder that it was started with, if any, and every Sync object.

Each has an agent of its own. The fleet starts and stops them, fetches what they follow elsewhere, tells each what the
others want (so that an object has one owner and a moved document is handed over), and clears up after a Sync that is
deleted: a finalizer keeps its object until what it applied is pruned.
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.client import protocol
from reconciler.gitops import agent as agents
from reconciler.gitops import alarm, history, hooks, notify, publish, remote, sync
from reconciler.gitops import plan as gitops
from reconciler.gitops.identity import Identity
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop.cache import Cache
from reconciler.loop.perform import Performer
from reconciler.model import errors, meta, plan
from reconciler.model.schema import Schemas

log = logging.getLogger(__name__)

OWN = "default"  # the Sync of the folder that the daemon was started with
FINALIZER = "reconciler.dev/prune"
MAX_SYNCS = 200
RETRY_SECONDS = 5.0

Source = tuple[str, sync.Git]  # path and repository: another one is another agent


@dataclass(slots=True)
class _Member:
    source: Source
    agent: agents.Agent
    tasks: tasks.Tasks
    fetched: remote.Remote | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Fleet:
    """`data_dir` is where checkouts are kept."""

    def __init__(
        self,
        cache: Cache,
        clock: clocks.Clock,
        schemas: Schemas,
        performers: Mapping[type, Performer],
        root: Path | None,
        data_dir: Path,
        *,
        tell: Callable[[str], None] = lambda line: None,
        pace: alarm.Pace = alarm.Pace(),
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._schemas = schemas
        self._performers = performers
        self._data_dir = data_dir
        self._tell = tell
        self._pace = pace
        self._sender = notify.Sender(clock)
        self.door = hooks.Door(self._token, self.poke)
        self._history = history.History(data_dir / "syncs" / "history.db")
        self._claims: dict[str, Callable[[Identity], bool]] = {}
        self._members: dict[str, _Member] = {}
        self._changed = asyncio.Event()
        self._own = self._agent(OWN, root, is_own=True) if root is not None else None

    async def run(self) -> None:
        """Follow every Sync until cancelled."""
        own = tasks.Tasks()
        own.start(self._own.run() if self._own is not None else self._define(), "folder")
        own.start(self._sender.run(), "notifications")
        self._cache.subscribe([publish.KIND], lambda kind, old, new: self._changed.set())
        try:
            failing = asyncio.ensure_future(own.join())
            synced = asyncio.ensure_future(self.synced())
            await asyncio.wait((failing, synced), return_when=asyncio.FIRST_COMPLETED)
            while not failing.done():
                self._changed.clear()
                settled = await self._settle()
                await self._pause(failing, None if settled else RETRY_SECONDS)
            await failing
        finally:
            for name in list(self._members):
                await self._stop(name)
            await own.close()
            self._history.close()

    async def synced(self) -> None:
        """Return once the folder, if there is one, was applied for the first time."""
        if self._own is not None:
            await self._own.synced()

    def report(self) -> Sequence[Mapping[str, Any]]:
        return [one for agent in self._agents() for one in agent.report()]

    def named(self, name: str) -> agents.Agent:
        """A Sync's agent. Raises KeyError where there is no such Sync."""
        return self._own if name == OWN and self._own is not None else self._members[name].agent

    def _agents(self) -> list[agents.Agent]:
        return [*([self._own] if self._own is not None else []), *(member.agent for _, member in sorted(self._members.items()))]

    async def _define(self) -> None:
        """Without a folder there is nobody else to have Sync objects served."""
        while not self._cache.has(publish.KIND):
            try:
                await publish.define(self._performers[plan.Patch], protocol.Origin(actor="gitops"))
            except (errors.StatusError, protocol.Unknown, OSError) as error:
                log.warning("the kind Sync cannot be defined yet", extra={"facts": {"error": error}})
            await self._clock.sleep(RETRY_SECONDS)
        await asyncio.Future()  # the task is one of those whose end ends the daemon

    async def history(self, name: str) -> Sequence[Mapping[str, Any]]:
        return await self.named(name).revisions()

    async def rollback(self, name: str, revision: int) -> int:
        return await self.named(name).rollback(revision)

    def poke(self, name: str) -> bool:
        """Fetch a Sync's repository now; False where it has none."""
        member = self._members.get(name)
        if member is None or member.fetched is None:
            return False
        member.woken.set()
        return True

    async def _pause(self, failing: "asyncio.Future[None]", seconds: float | None) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        await asyncio.wait((failing, changed), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()

    async def _settle(self) -> bool:
        """Start and stop what the Sync objects call for; False where something is to be tried again."""
        objects = {meta.name(one): one for one in self._cache.by(publish.KIND, "namespace", "")} if self._cache.has(publish.KIND) else {}
        if self._own is not None:
            objects.pop(OWN, None)
        settled = True
        for name in self._members.keys() - objects.keys():
            await self._stop(name)
        for name, obj in sorted(objects.items())[:MAX_SYNCS]:
            try:
                await self._one(name, obj)
            except (errors.StatusError, protocol.Unknown, OSError) as error:
                log.warning("a sync cannot be followed yet", extra={"facts": {"sync": name, "error": error}})
                settled = False
        return settled

    async def _one(self, name: str, obj: meta.Obj) -> None:
        spec = sync.spec_of(obj)
        if meta.is_deleting(obj):
            await self._retire(name, obj, spec)
            return
        if spec is None:
            return
        if FINALIZER not in meta.finalizers(obj):
            await self._finalizers(name, obj, [*meta.finalizers(obj), FINALIZER])
        member = self._members.get(name)
        if member is not None and member.source != (spec.path, spec.git):
            await self._stop(name)
            member = None
        if member is None:
            self._start(name, spec)

    def _start(self, name: str, spec: sync.Spec) -> None:
        directory = self._data_dir / "syncs" / name
        fetched = remote.Remote(directory) if spec.git.url else None
        inside = posixpath.normpath("/" + spec.path).lstrip("/")
        root = fetched.checkout / inside if fetched is not None else Path(spec.path or "/nonexistent")
        member = _Member((spec.path, spec.git), self._agent(name, root, is_own=False), tasks.Tasks(), fetched)
        self._members[name] = member
        member.tasks.start(member.agent.run(), f"sync {name}")
        if fetched is not None:
            member.tasks.start(self._fetch(name, member, fetched, spec.git), f"repository of sync {name}")

    async def _stop(self, name: str) -> None:
        member = self._members.pop(name, None)
        self._claims.pop(name, None)
        if member is not None:
            await member.tasks.close()

    async def _retire(self, name: str, obj: meta.Obj, spec: sync.Spec | None) -> None:
        """Prune what a deleted Sync applied, as far as nobody else wants it, then let its object go."""
        member = self._members.get(name)
        prunes = spec is not None and spec.prune and FINALIZER in meta.finalizers(obj)
        leaving = member.agent if member is not None else self._agent(name, self._data_dir / "nowhere", is_own=False)
        if prunes and not await leaving.retire():
            raise OSError("not everything is pruned yet")
        await self._stop(name)
        if member is not None and member.fetched is not None:
            await asyncio.to_thread(member.fetched.remove)
        await self._finalizers(name, obj, [one for one in meta.finalizers(obj) if one != FINALIZER])

    async def _finalizers(self, name: str, obj: meta.Obj, wanted: list[str]) -> None:
        patch = plan.Patch(
            kind=publish.KIND,
            namespace="",
            name=name,
            type="merge",
            patch={"metadata": {"finalizers": wanted}},
            why="what a deleted Sync applied is pruned first",
            uid=meta.uid(obj),
            resource_version=meta.resource_version(obj),
            manager=publish.MANAGER,
        )
        with contextlib.suppress(errors.StatusError):  # it changed meanwhile, which wakes us again
            await self._performers[plan.Patch](patch, protocol.Origin(actor=f"gitops/{name}"))

    async def _fetch(self, name: str, member: _Member, fetched: remote.Remote, wanted: sync.Git) -> None:
        while True:
            member.woken.clear()
            try:
                signers = self._credentials(wanted.signers) if wanted.signers.name else None
                await fetched.fetch(wanted, self._credentials(wanted.secret), signers)
                member.agent.notice("")
            except remote.Unreachable as error:
                member.agent.notice(f"{wanted.url}: {error}; what was fetched last stays applied")
            waits = [asyncio.ensure_future(member.woken.wait()), asyncio.ensure_future(self._clock.sleep(wanted.interval_seconds))]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waits:
                    one.cancel()

    def _credentials(self, name: sync.SecretName) -> remote.Credentials:
        """A Secret's data. Raises Unreachable where it is missing."""
        if not name.name:
            return remote.NO_CREDENTIALS
        namespace = name.namespace or "default"
        secret = self._cache.get("secrets", namespace, name.name)
        if secret is None:
            raise remote.Unreachable(f"Secret {namespace}/{name.name} does not exist")
        try:
            return remote.Credentials({key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()})
        except (binascii.Error, TypeError):
            raise remote.Unreachable(f"Secret {namespace}/{name.name} holds what is not base64") from None

    def _agent(self, name: str, root: Path, *, is_own: bool) -> agents.Agent:
        made = agents.Agent(
            self._cache,
            self._clock,
            self._schemas,
            self._performers,
            root,
            name=name,
            is_own=is_own,
            claims=gitops.Claims(self._claims),
            kept=self._history,
            released=self._released,
            told=self._told,
            tell=self._tell,
            pace=self._pace,
        )
        self._claims[name] = made.wants
        return made

    def _token(self, name: str) -> bytes:
        """What the calls of a Sync's webhook are signed with."""
        live = self._cache.get(publish.KIND, "", name) if self._cache.has(publish.KIND) else None
        spec = sync.spec_of(live) if live is not None else None
        try:
            return self._credentials(spec.git.webhook).data.get("token", b"").strip() if spec is not None else b""
        except remote.Unreachable:
            return b""

    def _told(self, spec: sync.Spec, news: notify.News) -> None:
        for wanted in spec.notify:
            is_status = wanted.type not in ("webhook", "slack")
            if not is_status and news.outcome not in wanted.outcomes:
                continue
            try:
                made = notify.call(wanted, news, spec.git.url, self._credentials(wanted.secret))
            except remote.Unreachable as error:
                log.warning("a notification cannot be made", extra={"facts": {"sync": news.sync, "why": error}})
                continue
            if made is not None:
                self._sender.put(news.sync, made)

    def _released(self, identities: Sequence[Identity]) -> None:
        """A Sync wants these no more: another may be waiting for them."""
        for one in self._agents():
            one.reconsider(identities)
