"""Keeps one folder applied: notices, reads, plans, performs, tells.

What wakes it: an event of the folder, a change of an object that it keeps (drift), a new kind or namespace, a
deadline. Each time it takes one step: look at the folder where that is due, resolve what changed, apply what is due,
prune what has been gone for a while, publish. It alone writes under its manager's name.

- Saves are applied a few milliseconds after the last event of a burst; while git rewrites a checkout it waits.
- What disappears is pruned only after a second look: a file that is being moved or rewritten is gone for a moment.
- While the folder is missing, unreadable or empty nothing is deleted; drift from what it last said is still corrected.
- A wave waits for the health of those before it, an object or a Sync for what it depends on; a new commit is looked at
  all the same.
- What fails, or is undone again and again by somebody else, is tried with growing delays.

Decides nothing about objects itself (plan.py) and judges no document (the API does).
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.gitops import (
    aftermath,
    alarm,
    health,
    history,
    intent,
    load,
    marks,
    metrics,
    patience,
    perform,
    publish,
    record,
    report,
    source,
    sync,
    wanted,
)
from reconciler.gitops import plan as gitops
from reconciler.gitops.alarm import NEVER, Pace
from reconciler.gitops.identity import Identity, title
from reconciler.gitops.standing import DONE, Standing
from reconciler.kit import clock as clocks
from reconciler.loop.cache import Cache
from reconciler.loop.perform import Performer
from reconciler.model import conditions, meta, plan
from reconciler.model.schema import Schemas

SLICE = 200  # identities planned at once, a few milliseconds


class Agent:
    """Follows the folder `root` as the Sync `name`.

    `performers` carry out Patch and Delete (loop/perform.Api) and, where there is one, Emit (loop/events.Recorder).
    `tell` gets a line for each new problem. `synced()` returns after the first sync, `report()` says how it stands.
    """

    def __init__(
        self,
        cache: Cache,
        clock: clocks.Clock,
        schemas: Schemas,
        performers: Mapping[type, Performer],
        root: Path,
        *,
        name: str = "default",
        is_own: bool = True,
        claims: gitops.Claims | None = None,
        kept: history.History | None = None,
        told: aftermath.Told = lambda spec, news: None,
        released: Callable[[Sequence[Identity]], None] = lambda identities: None,
        tell: Callable[[str], None] = lambda line: None,
        pace: Pace = Pace(),
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._name = name
        self._root = root
        self._alarm = alarm.Alarm(clock, pace)
        self._ownership = marks.Ownership(schemas)
        self._performer = perform.Performer(cache, schemas, performers, name)
        self._publisher = publish.Publisher(name, root, cache, clock, performers, tell, is_own=is_own)
        self._patience = patience.Patience()
        self._source = source.Source(root, clock, self._alarm.noise)
        self._first = asyncio.Event()
        # What the folder says.
        self._files: Mapping[str, load.File] = {}
        self._wanted = wanted.Wanted()
        self._roster = cache.roster
        self._resolver = wanted.Resolver(cache.roster)
        self._spec = sync.Spec(path=str(root))
        self._claims = claims or gitops.Claims()
        self._released = released
        self._notice = ""
        self._record = record.Record(name, kept)
        self._aftermath = aftermath.Aftermath(name, root, clock, self._record, told, tell, self.rollback)
        self._look: source.Look | None = None
        self._halt: report.Halt | None = None
        # What became of it.
        self._touched: set[Identity] = set()
        self._refused: dict[Identity, tuple[load.Problem, ...]] = {}
        self._waiting: dict[Identity, plan.Waiting] = {}
        self._warnings: dict[Identity, str] = {}
        self._standing = Standing()
        self._changed_at = clock.monotonic()  # something was applied, or wanted otherwise
        self._kept: tuple[gitops.Kept, ...] = ()
        self._doubted: frozenset[str] = frozenset()  # files with problems at the last pruning
        self._changes: list[str] = []

    async def run(self) -> None:
        """Follow the folder until cancelled."""
        await self._cache.synced()
        await self._record.start()
        self._roster = self._cache.roster
        self._take_settings()
        self._cache.subscribe([plan.EVERY_KIND], self._changed)
        self._cache.on_advance(self._advanced)
        info = metrics.AppInfo(self._name, self._states)
        try:
            while True:
                await self._step()
                self._first.set()
                late_at, retry_at = self._late_at(self._clock.monotonic()), self._patience.next_deadline()
                await self._alarm.ring(late_at, retry_at, is_suspended=self._spec.suspend)
                await self._alarm.settle(self._source.is_unfinished)
        finally:
            info.close()
            self._cache.unsubscribe(self._changed)
            self._source.close()

    async def synced(self) -> None:
        """Return once the folder was read and what it says was applied, or refused, for the first time."""
        await self._first.wait()

    def report(self) -> Sequence[Mapping[str, Any]]:
        """How each Sync stands, for `reconciler status`."""
        return [self._publisher.shown()]

    # What the other Syncs and the fleet ask of it.

    def wants(self, identity: Identity) -> bool:
        """Whether this Sync may want an object; it may as long as it does not know."""
        if not self._first.is_set() or self._halt is not None or self._spec.suspend:
            return True
        return identity in self._wanted.documents or identity in self._wanted.disputed

    def reconsider(self, identities: Iterable[Identity]) -> None:
        """Look again at objects that another Sync lets go of."""
        self._touch(identity for identity in identities if identity in self._wanted.documents)

    def notice(self, text: str) -> None:
        """Say why the source is not as new as it should be; "" when it is."""
        if text != self._notice:
            self._notice = text
            self._alarm.wake()

    async def revisions(self) -> Sequence[Mapping[str, Any]]:
        """What was applied, the newest first."""
        return [entry.wire() for entry in await self._record.entries()]

    async def rollback(self, number: int = 0) -> int:
        """Apply an earlier revision, 0 for the last healthy one, until the folder changes. Raises KeyError."""
        number = number or await self._record.good()
        found = self._look.scan.files if self._look is not None else {}
        await self._record.back(number, found)
        self._alarm.look_now()
        return number

    async def retire(self) -> bool:
        """Delete what this Sync applied and no other wants; whether nothing is left of it."""
        if self._cache.roster is not self._roster:
            return False
        self._spec = self._spec.model_copy(update={"suspend": True})
        decision = gitops.farewell(self._context())
        outcome = await self._performer.run(decision.todo, self._wanted, self._roster)
        return not outcome.refused

    # What wakes it.

    def _changed(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        obj = new if new is not None else old
        if obj is None:
            return
        if kind == gitops.NAMESPACES and old is None and self._refused:
            self._touch(self._refused)  # some may have waited for it
        if kind == publish.KIND:
            self._sync_changed(meta.name(obj))
        if kind == wanted.AUTOSCALERS:
            self._autoscaler_changed(old, new)
        identity = Identity(kind, *meta.key(obj))
        if identity in self._wanted.strangers:
            self._touch(self._waiting)
        if identity not in self._wanted.documents:
            return
        self._look_at_health(identity)
        if not self._is_current(identity, new):
            self._touch([identity])

    def _look_at_health(self, identity: Identity) -> None:
        if self._standing.update(identity, self._cache, self._roster, self._spec.health):
            self._alarm.tell_soon()
            self._touch(self._waiting)  # for a wave to end

    def _sync_changed(self, name: str) -> None:
        if name in self._spec.depends_on:
            self._touch(self._waiting)
        if name == self._name and self._take_settings():
            self._touch(self._wanted.documents)
            for identity in self._wanted.documents:
                self._look_at_health(identity)
            self._alarm.prune_later()

    def _take_settings(self) -> bool:
        """Read the Sync's object; whether it says something new. One of another version changes nothing."""
        live = self._cache.get(publish.KIND, "", self._name) if self._cache.has(publish.KIND) else None
        spec = sync.spec_of(live) if live is not None else None
        if spec is None or spec == self._spec:
            return False
        self._spec = spec
        self._performer.accepted.clear()
        self._alarm.look_now()
        return True

    def _autoscaler_changed(self, old: meta.Obj | None, new: meta.Obj | None) -> None:
        """What it scaled, or scales now, is looked at again; most of its changes are of status."""
        targets = {intent.scaled(self._roster, one, meta.namespace(one)) for one in (old, new) if one is not None}
        if old is None or new is None or len(targets) > 1:
            self._touch(target for target in targets if target is not None)

    def _is_current(self, identity: Identity, new: meta.Obj | None) -> bool:
        """Whether a change left alone what we own; most changes are of status."""
        if new is None or meta.is_deleting(new):
            return False
        return self._performer.accepted.get(identity) == (marks.digest(new), marks.owned(new))

    def _advanced(self) -> None:
        if self._cache.roster is not self._roster:
            self._alarm.wake()

    def _touch(self, identities: Iterable[Identity]) -> None:
        self._touched.update(identities)
        self._alarm.wake()

    def _late_at(self, now: float) -> float:
        """When what is not healthy becomes a failure."""
        at = self._changed_at + self._spec.health_timeout_seconds
        return NEVER if self._standing.is_healthy or at <= now else at

    # One step.

    async def _step(self) -> None:
        began = self._clock.monotonic()
        if self._spec.suspend:
            await self._publish(began)
            return
        if self._cache.roster is not self._roster and self._cache_is_whole():
            self._roster = self._cache.roster
            self._resolve()
        if began >= min(self._alarm.look_at, self._alarm.prune_at):
            await self._take_look()
        await self._apply()
        if self._clock.monotonic() >= self._alarm.prune_at:
            await self._prune()
        await self._publish(began)
        if self._cache.roster is self._roster:
            await self._aftermath.add(self._wanted.documents, self._look.commit if self._look is not None else "")
        await self._aftermath.conclude(self._publisher.status, self._spec)

    async def _take_look(self) -> None:
        self._alarm.look_at = NEVER  # what happens from here on needs another look
        look = self._look = await self._source.look()
        was_halted, self._halt = self._halt is not None, look.halt
        if look.halt is not None:
            return
        if look.scan.young:
            self._alarm.look_soon()
        files = await self._record.files(look.scan.files)
        if self._files != files or was_halted or not self._first.is_set() or self._resolver.target != self._spec.target_namespace:
            self._files = files
            self._resolve()
        if was_halted and self._halt is None:
            self._alarm.prune_later()

    def _resolve(self) -> None:
        """Take over what the files say now; what became different is touched."""
        if self._resolver.roster is not self._roster or self._resolver.target != self._spec.target_namespace:
            self._resolver = wanted.Resolver(self._roster, self._spec.target_namespace)
        before, after = self._wanted, self._resolver.resolve(self._files.values())
        if not after.count and not after.problems and (before.count or self._has_inventory()):
            self._halt = report.Halt("SourceEmpty", f"{self._root} holds no document, though it did before; nothing is deleted")
            return
        self._wanted = after
        for identity, document in after.documents.items():
            old = before.documents.get(identity)
            if old is document:
                continue
            self._record.pending.add(identity)
            self._standing.update(identity, self._cache, self._roster, self._spec.health)
            if old is not None and (old.digest, old.home) == (document.digest, document.home):
                if identity in self._refused:
                    self._touched.add(identity)  # its problems are on other lines now
                continue
            self._patience.forget(identity)
            self._touched.add(identity)
            self._changed_at = self._clock.monotonic()
        for identity in self._refused.keys() - after.documents.keys():
            del self._refused[identity]
        gone = before.documents.keys() - after.documents.keys()
        self._record.pending |= gone
        self._standing.forget(gone)
        for identity in gone:
            self._patience.forget(identity)
            self._waiting.pop(identity, None)
            self._warnings.pop(identity, None)
        if gone:
            self._touch(self._waiting)
            self._released(sorted(gone))
        if gone or self._kept or not self._first.is_set():
            self._alarm.prune_later()

    async def _apply(self) -> None:
        """Apply what was touched, in slices that leave the loop to others, in the order of kinds."""
        self._touched |= self._patience.release(self._clock.monotonic())
        due = [identity for identity in self._touched if not self._patience.holds(identity)]
        self._touched.clear()
        due = [identity for identity in due if identity in self._wanted.documents]
        due.sort(key=lambda identity: (self._wanted.turn(identity).rank, self._roster[identity.kind].order, identity))
        while due:
            if self._cache.roster is not self._roster:
                self._touched.update(due)  # kinds came or went: resolve first
                return
            _, alike = next(itertools.groupby(due[:SLICE], lambda identity: self._wanted.turn(identity).rank))
            part = list(alike)
            due = due[len(part) :]
            for identity in part:
                self._refused.pop(identity, None)
                self._waiting.pop(identity, None)
                self._warnings.pop(identity, None)
            decision = gitops.applies(self._context(), self._free(part))
            self._waiting.update(decision.waiting)
            self._warnings.update(decision.warnings)
            self._refused.update(decision.problems)
            self._take(await self._performer.run(decision.todo, self._wanted, self._roster))
            await asyncio.sleep(0)

    def _free(self, part: Sequence[Identity]) -> list[Identity]:
        """Those of one wave that need not wait for an earlier one, for what they depend on, or for another Sync."""
        other = self._awaited_sync()
        if other:
            self._waiting.update(dict.fromkeys(part, plan.Waiting(f"Sync {other} to be ready")))
            return []
        if not self._wanted.later:
            return list(part)
        earlier = self._standing.earlier(self._wanted.turn(part[0]).wave, self._wanted, {*self._refused, *self._waiting})
        if earlier is not None:
            waiting = plan.Waiting(f"{title(self._roster, earlier)} of an earlier wave to be healthy")
            self._waiting.update(dict.fromkeys(part, waiting))
            return []
        free: list[Identity] = []
        for identity in part:
            missing = next((one for one in self._wanted.turn(identity).needs if not self._is_met(one)), None)
            if missing is None:
                free.append(identity)
            else:
                self._waiting[identity] = plan.Waiting(f"{title(self._roster, missing)} to be healthy")
        return free

    def _is_met(self, need: Identity) -> bool:
        """Whether an object that others depend on is there and healthy, whoever keeps it."""
        if need in self._wanted.documents:
            return self._standing.is_done(need) and need not in self._refused and need not in self._waiting
        kind = self._roster.get(need.kind)
        live = self._cache.get(*need) if kind is not None and self._cache.has(need.kind) else None
        return kind is not None and live is not None and health.of(kind, live, self._spec.health).state in DONE

    def _awaited_sync(self) -> str:
        """A Sync that this one depends on and that is not ready."""
        for name in self._spec.depends_on:
            live = self._cache.get(publish.KIND, "", name) if self._cache.has(publish.KIND) else None
            if live is None or not conditions.is_true(meta.status(live).get("conditions") or (), "Ready"):
                return name
        return ""

    async def _prune(self) -> None:
        self._alarm.prune_at = NEVER
        if self._halt is not None or self._look is None:
            return
        if self._cache.roster is not self._roster:
            self._alarm.prune_later()
            return
        self._doubted = self._doubtful()
        decision = gitops.prunes(self._context(), self._doubted, self._look.scan.closed)
        self._kept = decision.kept
        outcome = await self._performer.run(decision.todo, self._wanted, self._roster)
        self._take(outcome)
        if outcome.refused:
            self._alarm.prune_again()

    def _take(self, outcome: perform.Outcome) -> None:
        now = self._clock.monotonic()
        for identity in outcome.done:
            self._patience.wrote(identity, now)
            self._changed_at = now
            if identity in self._wanted.documents:
                self._look_at_health(identity)
        for identity in outcome.refused:
            self._patience.failed(identity, now)
        self._refused.update(outcome.refused)
        self._changes += outcome.changes

    def _cache_is_whole(self) -> bool:
        """Whether the cache has listed every kind of its roster; while kinds come and go it may not have."""
        return all(self._cache.has(kind.id) for kind in self._cache.roster if {"list", "watch"} <= set(kind.verbs))

    def _has_inventory(self) -> bool:
        whole = self._cache.roster is self._roster
        return whole and next(gitops.owned(self._cache, self._roster, self._name), None) is not None

    def _context(self) -> gitops.Context:
        return gitops.Context(
            view=self._cache,
            roster=self._roster,
            wanted=self._wanted,
            sync=self._name,
            ownership=self._ownership,
            spec=self._spec,
            claims=self._claims,
            accepted=self._performer.accepted,
            origin=self._source.origin,
        )

    # What it says.

    def _problems(self) -> list[load.Problem]:
        return sorted({*self._wanted.problems, *itertools.chain.from_iterable(self._refused.values())})

    def _doubtful(self) -> frozenset[str]:
        """The files with problems or that somebody may be writing, and the kustomizations whose documents were refused."""
        homes = {self._wanted.documents[identity].home for identity in self._refused if identity in self._wanted.documents}
        young = self._look.scan.young if self._look is not None else frozenset()
        return young | {problem.path for problem in self._problems()} | homes

    def _states(self) -> tuple[str, str]:
        """(sync status, health status) in Argo CD's words."""
        state = self._publisher.status.state
        synced = {"Synced": "Synced", "Stopped": "Unknown"}.get(state, "OutOfSync")
        return synced, self._standing.worst

    async def _publish(self, began: float) -> None:
        self._alarm.tell_at = NEVER
        problems = self._problems()
        if self._kept and self._doubted != self._doubtful() and self._alarm.prune_at == NEVER:
            self._alarm.prune_later()
        if self._changes:
            metrics.DURATION.labels("Sync", self._name, "").observe(self._clock.monotonic() - began)
            metrics.SYNCS.labels(self._name, "", "default", "Failed" if problems else "Succeeded").inc()
        waits = [waiting.on for waiting in self._waiting.values()]
        waits += [f"the definition of {document.body['kind']} ({document.source})" for document in self._wanted.undefined]
        facts = report.Facts(
            halt=report.Halt("SourceUnreachable", self._notice) if self._halt is not None and self._notice else self._halt,
            commit=self._look.commit if self._look is not None else "",
            documents=self._wanted.count,
            problems=problems,
            kept=[f"{title(self._roster, kept.identity)} is kept: {kept.why}" for kept in self._kept],
            waiting=waits,
            unwatched=self._look.unwatched if self._look is not None else "",
            warnings=sorted([*self._warnings.values(), *health.problems(self._spec.health)]),
            faults=self._standing.faults(self._roster),
            is_late=self._clock.monotonic() >= self._changed_at + self._spec.health_timeout_seconds,
            is_suspended=self._spec.suspend,
            notice=self._notice,
            rolled_back=self._record.rolled_back,
            changes=tuple(self._changes),
        )
        self._changes.clear()
        await self._publisher.publish(facts)
