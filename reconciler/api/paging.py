"""LIST: which objects, as of which revision, in pages that stay consistent.

From the watch cache where the newest or "not older than" is asked for, from the journal's history for an exact
revision and for every page after the first. A continue token is Kubernetes' own form, base64 of the revision and the
last key, and when its list began: as with Kubernetes, whose history is short, it expires after some minutes, and the
refusal holds a token with which the rest can be had as it is now. Wording follows k8s.io/apiserver/pkg/storage.
"""

import base64
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import orjson

from reconciler.api import selecting
from reconciler.api.cache import Cache, Item
from reconciler.api.watch import Interest
from reconciler.model import errors, gojson, meta, selectors
from reconciler.model.kind import Kind
from reconciler.store import types

TOKEN_VERSION = "meta.k8s.io/v1"  # noqa: S105 - the version of the token's form
PAGES_SECONDS = 300.0  # after this time later pages show no longer the revision of the first: kube-apiserver's own interval
NEWEST = -1  # the revision of a token that goes on with what is there now
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9_-]")
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the"
    " continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing"
    " with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the"
    " time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    labels: selectors.Selector = selectors.EVERYTHING
    fields: selecting.Terms = ()
    limit: int = 0
    token: str = ""
    revision: int | None = None  # None: the newest; 0: whatever the cache has
    match: Literal["", "Exact", "NotOlderThan"] = ""
    now: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Pages of a given revision are of that revision, also where nobody says so, as they were before one could."""
        return bool(self.revision) and (self.match == "Exact" or (not self.match and self.limit > 0))


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list goes on: behind key `start`, at `revision`, the first page of which was asked for at `began`."""

    revision: int
    start: str
    began: float  # seconds since the epoch; infinite where nobody knows


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Item]
    revision: int
    token: str = ""
    remaining: int | None = None  # how many more there are, where no selector makes that unknowable


async def page(cache: Cache, kind: Kind, namespace: str | None, request: Request) -> Page:
    """The objects of a kind, of one namespace or (None) of all. Raises StatusError 400, 410, 504."""
    interest = Interest(kind=kind.storage_id, namespace=namespace, labels=request.labels, fields=request.fields)
    name = next((term.value for term in request.fields if term.field == "metadata.name" and not term.negated), None)
    is_one = name is not None and (namespace is not None or not kind.namespaced)
    if request.token:
        return await _later_page(cache, kind, namespace, request, interest)
    if request.is_exact and request.revision and not (is_one and not request.match):
        past = await _past(cache, kind, namespace, request.revision, "")
        return _cut(past, interest, request.limit, request.revision, request.now)
    if request.revision is None:
        await cache.fresh()
    else:
        await cache.at_least(request.revision)
    if is_one and name is not None:
        item = cache.get(kind.storage_id, namespace or "", name)
        found = [] if item is None or not interest.holds(item) else [item]
        return Page(found, cache.revision)
    return _cut(cache.shelf(kind.storage_id).in_order(namespace), interest, request.limit, cache.revision, request.now)


async def _later_page(cache: Cache, kind: Kind, namespace: str | None, request: Request, interest: Interest) -> Page:
    """What follows a token. Raises StatusError 400, 410."""
    token = _decoded(request.token)
    if request.revision:
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    if token.revision < 0:
        await cache.fresh()
        rest = cache.shelf(kind.storage_id).in_order(namespace, token.start)
        return _cut(rest, interest, request.limit, cache.revision, request.now)
    if request.now - token.began > PAGES_SECONDS:
        raise _expired(token.start)
    return _cut(await _past(cache, kind, namespace, token.revision, token.start), interest, request.limit, token.revision, token.began)


def computed(found: Iterable[tuple[str, Item]], kind: Kind, namespace: str | None, request: Request, revision: int) -> Page:
    """The objects that are made on demand, with their keys in order: all in one page."""
    interest = Interest(kind=kind.storage_id, namespace=namespace, labels=request.labels, fields=request.fields)
    meant = ((key, item) for key, item in found if namespace in (None, "", meta.namespace(item.obj)))
    return _cut(meant, interest, 0, revision, 0.0)


async def _past(cache: Cache, kind: Kind, namespace: str | None, revision: int, start: str) -> Iterator[tuple[str, Item]]:
    prefix = f"{kind.storage_id}/" if namespace is None else f"{kind.storage_id}/{namespace}/"
    try:
        found = await cache.journal.range(prefix, start=f"{kind.storage_id}/{start}\0" if start else "", revision=revision)
    except types.Compacted:
        if not start:
            raise errors.gone("The resourceVersion for the provided list is too old.") from None
        raise _expired(start) from None
    except types.FutureRevision:
        await cache.at_least(revision)
        raise
    skip = len(kind.storage_id) + 1
    return ((entry.key[skip:], Item.of(entry)) for entry in found.entries)


def _cut(found: Iterable[tuple[str, Item]], interest: Interest, limit: int, revision: int, began: float) -> Page:
    if not limit:
        if not interest.is_selective:
            return Page([item for _, item in found], revision)
        return Page([item for _, item in found if interest.holds(item)], revision)
    items: list[Item] = []
    last = ""
    rest = iter(found)
    for key, item in rest:
        if not interest.holds(item):
            continue
        if len(items) == limit:
            remaining = None if interest.is_selective else 1 + sum(1 for _ in rest)
            return Page(items, revision, _encoded(Token(revision, last, began)), remaining)
        items.append(item)
        last = key
    return Page(items, revision)


def _expired(start: str) -> errors.StatusError:
    return errors.gone(EXPIRED, _encoded(Token(NEWEST, start, 0.0)))


def _encoded(token: Token) -> str:
    text = orjson.dumps({"v": TOKEN_VERSION, "rv": token.revision, "start": token.start + "\0", "began": int(token.began)})
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _decoded(token: str) -> Token:
    """Raises StatusError 400."""
    if (wrong := _NOT_BASE64.search(token)) or len(token) % 4 == 1:
        raise _bad_token(f": illegal base64 data at input byte {wrong.start() if wrong else len(token) - 1}")
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    try:
        fields = orjson.loads(text)
    except ValueError:
        raise _bad_token(f": {gojson.complaint(text.decode('latin-1'))}") from None
    if not isinstance(fields, dict) or fields.get("v") != TOKEN_VERSION:
        raise _bad_token(": server does not recognize this encoded version")
    revision, start, began = fields.get("rv"), fields.get("start"), fields.get("began")
    if not isinstance(revision, int) or not revision or abs(revision) >= 2**63:
        raise _bad_token(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise _bad_token(": encoded start key empty (version meta.k8s.io/v1)")
    if ".." in start.split("/"):
        raise _bad_token(f": {start}")
    return Token(revision, start.rstrip("\0"), began if isinstance(began, int) else math.inf)


def _bad_token(fault: str) -> errors.StatusError:
    return errors.bad_request(f"invalid continue token: continue key is not valid{fault}")
