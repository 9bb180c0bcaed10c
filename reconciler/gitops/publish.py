"""Tells the world about a Sync: its object's status, events, a line on the terminal, metrics.

Only what changed is told, so an idle folder causes no write. A server that refuses costs the telling, nothing else:
it is told again at the next occasion.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from reconciler.client import protocol
from reconciler.gitops import metrics, report, sync, wanted
from reconciler.kit import clock as clocks
from reconciler.loop.cache import Cache
from reconciler.loop.perform import Performer
from reconciler.model import errors, meta, plan

log = logging.getLogger(__name__)

KIND = sync.KIND.id
MANAGER = "reconciler"  # another than of what the folder holds: a Sync may be described in the folder, too
API_VERSION = sync.KIND.api_version()
REFUSED = "DocumentRefused"  # reason of the event that each new problem causes


class Publisher:
    """Keeps the last told status of the Sync `name` of the folder `root`; `is_own` if its object is to be made, too."""

    def __init__(
        self,
        name: str,
        root: Path,
        cache: Cache,
        clock: clocks.Clock,
        performers: Mapping[type, Performer],
        tell: Callable[[str], None],
        *,
        is_own: bool = True,
    ) -> None:
        self._is_own = is_own
        self.status = sync.Status()
        self._name = name
        self._root = root
        self._cache = cache
        self._clock = clock
        self._performers = performers
        self._tell = tell
        self._told: frozenset[str] = frozenset()
        self._stored: sync.Status | None = None
        self._is_defined = False

    async def publish(self, facts: report.Facts) -> None:
        if self._stored is None:
            self._recall()
        self.status = report.status(facts, self.status, clocks.rfc3339(self._clock.now()))
        metrics.PROBLEMS.labels(self._name).set(len(facts.problems))
        metrics.DOCUMENTS.labels(self._name).set(facts.documents)
        await self._tell_news(facts)
        has_news = facts.documents or facts.problems or facts.halt is not None or self._stored is not None
        if has_news and self._stored != self.status:
            await self._store()

    def shown(self) -> dict[str, Any]:
        """For `reconciler status`: what is not as it should be, and the last changes."""
        status = self.status
        conditions = [condition for condition in status.conditions if condition.status != "True"]
        ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
        return {
            "name": self._name,
            "path": str(self._root),
            "state": status.state,
            "commit": status.commit,
            "documents": status.documents,
            "ready": ready.model_dump(by_alias=True) if ready is not None else {},
            "warnings": list(status.warnings),
            "conditions": [condition.model_dump(by_alias=True) for condition in conditions if condition.type != "Ready"],
            "errors": [": ".join(part for part in (one.place, one.field, one.message) if part) for one in status.problems],
            "changes": list(status.changes),
        }

    def _recall(self) -> None:
        """Go on from what was told before a restart, so that nothing is written when nothing changed."""
        live = self._cache.get(KIND, "", self._name) if self._cache.has(KIND) else None
        if live is not None and (not self._is_own or meta.spec(live).get("path") == str(self._root)):
            try:
                self.status = self._stored = sync.Status.model_validate(meta.status(live))
            except pydantic.ValidationError:
                log.info("the stored status is of another version", extra={"facts": {"sync": self._name}})

    async def _tell_news(self, facts: report.Facts) -> None:
        news = {str(problem): REFUSED for problem in facts.problems}
        if facts.halt is not None:
            news[facts.halt.message] = facts.halt.reason
        if facts.notice:
            news[facts.notice] = "SourceUnreachable"
        news |= dict.fromkeys(facts.warnings, "LeftUndone")
        if facts.is_late:
            news[f"not healthy: {'; '.join(facts.faults[: report.MAX_NAMED])}"] = "HealthCheckFailed"
        for message, reason in news.items():
            if message not in self._told:
                self._tell(f"! {message}")
                await self._emit(reason, message)
        if self._told and not news:
            self._tell(f"{self._root}: all problems are resolved")
        self._told = frozenset(news)

    async def _emit(self, reason: str, message: str) -> None:
        performer = self._performers.get(plan.Emit)
        if performer is not None:
            known = self._cache.get(KIND, "", self._name) if self._cache.has(KIND) else None
            regarding = known or {"apiVersion": API_VERSION, "kind": sync.KIND.kind, "metadata": {"name": self._name}}
            await performer(plan.Emit(regarding=regarding, reason=reason, message=message, type="Warning"), self._origin())

    async def _store(self) -> None:
        """Write the definition, the Sync object where it is missing or says another folder, then its status."""
        try:
            if not self._cache.has(KIND):
                if not self._is_defined:
                    await define(self._performers[plan.Patch], self._origin())
                    self._is_defined = True
                return  # the new kind wakes the agent, and with it this
            spec = {"path": str(self._root)}
            live = self._cache.get(KIND, "", self._name)
            if self._is_own and (live is None or meta.spec(live).get("path") != spec["path"]):
                body = {"apiVersion": API_VERSION, "kind": sync.KIND.kind, "metadata": {"name": self._name}, "spec": spec}
                await self._patch(KIND, self._name, "apply", body)
            status = [{"op": "add", "path": "/status", "value": self.status.wire()}]
            await self._patch(KIND, self._name, "json", status, "status")
        except (errors.StatusError, protocol.Unknown, OSError) as error:
            log.warning("sync status not written", extra={"facts": {"sync": self._name, "error": error}})
            return
        self._stored = self.status

    async def _patch(self, kind: str, name: str, form: plan.PatchType, body: Any, subresource: str = "") -> None:
        await self._performers[plan.Patch](_written(kind, name, form, body, subresource), self._origin())

    def _origin(self) -> protocol.Origin:
        return protocol.Origin(actor=f"gitops/{self._name}")


async def define(performer: Performer, origin: protocol.Origin) -> None:
    """Have the API serve Sync objects. Raises StatusError, Unknown."""
    await performer(_written(wanted.DEFINITIONS, sync.DEFINITION["metadata"]["name"], "apply", sync.DEFINITION), origin)


def _written(kind: str, name: str, form: plan.PatchType, body: Any, subresource: str = "") -> plan.Patch:
    return plan.Patch(
        kind=kind,
        namespace="",
        name=name,
        type=form,
        patch=body,
        why="what became of the folder",
        subresource=subresource,
        force=form == "apply",
        manager=MANAGER,
    )
