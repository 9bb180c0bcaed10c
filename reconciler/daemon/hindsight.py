"""What was, as far back as the journal's history goes: for `--at`, `events --since`, and what a commit caused.

Served under /reconciler/past/ to administrators. Everything is read when asked; nothing is kept for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from reconciler.kit import clock as clocks
from reconciler.loop.cache import Cache
from reconciler.model import errors, meta
from reconciler.store import types

MAX_LINKS = 50
MAX_EFFECTS = 1000
MAX_CHANGES = 1000
EVENTS = "events"
RESTLESS = frozenset({EVENTS, "leases.coordination.k8s.io"})  # what says that something happened, not what is wanted


class Hindsight:
    """Answers by path; raises StatusError as the API does."""

    def __init__(self, journal: types.Journal, cache: Cache) -> None:
        self._journal = journal
        self._cache = cache

    async def answer(self, path: Sequence[str]) -> dict[str, Any]:
        """`path` is what follows /reconciler/past/, split and decoded."""
        try:
            return await self._answer(path)
        except types.Compacted as error:
            began = await self._journal.time_of(error.oldest)
            since = f", about {clocks.rfc3339(began)}" if began else ""
            raise errors.gone(f"the history begins at revision {error.oldest}{since}") from None
        except types.FutureRevision as error:
            raise errors.bad_request(str(error)) from None

    async def _answer(self, path: Sequence[str]) -> dict[str, Any]:
        match path:
            case ("revision", time) if _is_number(time):
                return {"revision": await self._journal.revision_at(float(time))}
            case ("why", revision, kind, namespace, name) if revision.isdecimal():
                return {"links": await self.links(types.key_of(kind, _namespace(namespace), name), int(revision))}
            case ("changes", revision) if revision.isdecimal():
                return await self._changes(int(revision))
            case ("events", revision) if revision.isdecimal():
                return await self._events(int(revision))
            case ("caused", "commit", commit):
                return await self._caused(source=f"commit {commit}")
            case ("caused", "object", kind, namespace, name):
                key = types.key_of(kind, _namespace(namespace), name)
                return await self._caused(revisions=[revision for revision, _ in await self._journal.provenance(key)])
        raise errors.StatusError(404, "NotFound", "the server could not find the requested resource")

    async def links(self, key: str, revision: int = 0) -> list[dict[str, Any]]:
        """The last change of an object's spec and its causes, newest first; then how it came to be, where that differs."""
        links: list[dict[str, Any]] = []
        seen: set[int] = set()
        for made, _ in reversed(await self._journal.provenance(key, revision)):
            for found, touched, record in await self._journal.chain(made):
                if found not in seen and len(links) < MAX_LINKS:
                    seen.add(found)
                    links.append(_link(found, touched, record))
        return links

    async def _changes(self, revision: int) -> dict[str, Any]:
        """What is otherwise now than at a revision: object by object, as it was and as it is."""
        before = {entry.key: entry for entry in (await self._journal.range("", revision=revision)).entries}
        after = {entry.key: entry for entry in (await self._journal.range("")).entries}
        changed = [
            key
            for key in sorted(before.keys() | after.keys())
            if _kind(key) not in RESTLESS and _mod(before.get(key)) != _mod(after.get(key)) and self._cache.roster.get(_kind(key))
        ]
        shown = [{"kind": _kind(key), "before": _body(before.get(key)), "after": _body(after.get(key))} for key in changed[:MAX_CHANGES]]
        return {"revision": revision, "changes": shown, "more": max(0, len(changed) - MAX_CHANGES)}

    async def _events(self, revision: int) -> dict[str, Any]:
        """Every Event that was written since a revision, those that have expired too, in the order of their last writes."""
        found = await self._journal.changes(f"{EVENTS}/", revision)
        return {"items": [_body(entry) for entry, _ in found[-MAX_CHANGES:]], "more": max(0, len(found) - MAX_CHANGES)}

    async def _caused(self, source: str = "", revisions: Sequence[int] = ()) -> dict[str, Any]:
        found = await self._journal.effects(source, revisions, MAX_EFFECTS)
        meant = (one for one in found if _kind(one.key) != EVENTS)
        shown = [{**_link(one.revision, one.key, one.provenance), "cause": one.provenance.cause} for one in meant]
        times = {one["revision"]: await self._journal.time_of(one["revision"]) for one in (*shown[:1], *shown[-1:])}
        return {"effects": shown, "began": _time(times, shown[:1]), "ended": _time(times, shown[-1:]), "isCut": len(found) == MAX_EFFECTS}


def shown(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _link(revision: int, key: str, record: types.Provenance) -> dict[str, Any]:
    return {
        "revision": revision,
        "object": shown(*key.split("/", 2)),
        "actor": record.actor,
        "why": record.why,
        "source": record.source,
    }


def _namespace(word: str) -> str:
    return "" if word == "-" else word


def _kind(key: str) -> str:
    return key.partition("/")[0]


def _mod(entry: types.Entry | None) -> int:
    return entry.mod_revision if entry is not None else 0


def _body(entry: types.Entry | None) -> meta.Obj | None:
    if entry is None or entry.value is None:
        return None
    found: Mapping[str, Any] = entry.obj if entry.obj is not None else orjson.loads(entry.value)
    return found


def _time(times: Mapping[int, float], links: Sequence[Mapping[str, Any]]) -> str:
    found = times[links[0]["revision"]] if links else 0.0
    return clocks.rfc3339(found) if found else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
