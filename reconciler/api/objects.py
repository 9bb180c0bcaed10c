"""Create, update, patch and delete for the objects of any kind: from a decoded body to compare-and-put.

Order of a write, as in kube-apiserver: decode and default in the caller's version -> managedFields -> hub ->
mutating admission -> identity and `prepare` -> allocation -> validate -> validating admission -> put if nobody else
wrote meanwhile; otherwise everything is decided anew on what is stored then.
Invariants: nothing published is changed; a write that changes nothing makes no revision; deciding waits for nothing
but webhooks, and only the commit takes effect.
Deliberately not here: HTTP, subresources with bodies of their own kind (subresources.py), reads (reading.py).
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from types import CoroutineType
from typing import Any

from reconciler.api import (
    allocators,
    converting,
    decoding,
    deletion,
    identity,
    ownership,
    partial_writes,
    patching,
    repeats,
    surroundings,
    twins,
    underway,
)
from reconciler.api.admission.chain import Attributes, Chain
from reconciler.api.auth import authorisation
from reconciler.api.cache import Cache, Item
from reconciler.api.calls import Call, DeleteOptions
from reconciler.kit import clock, ids
from reconciler.model import apply, decode, errors, gostruct, meta, metadata, rawjson
from reconciler.model.kind import Kind
from reconciler.store import types

ATTEMPTS = 8  # decisions on one unconditional write before the caller is told of the conflict
NAMES_TRIED = 8  # generated names tried before giving up
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
DIGITS_MOST = 20  # of a revision
UNVERSIONED = "must be specified for an update"

Decide = Callable[[Item | None], Awaitable[deletion.Verdict]]


@dataclass(frozen=True, slots=True)
class Done:
    """What a write came to: the object as it is (or, `gone`, as it was), and the revision; 0 where none was made."""

    item: Item
    revision: int
    created: bool = False
    gone: bool = False


class Objects:
    """The write path over one journal."""

    def __init__(
        self,
        journal: types.Journal,
        cache: Cache,
        admission: Chain,
        decoder: decoding.Decoder,
        owners: ownership.Owners,
        services: allocators.Services,
        time: clock.Clock,
        source: ids.Source,
        authoriser: authorisation.Authoriser,
        converter: converting.Converter,
    ) -> None:
        self.authoriser = authoriser
        self.converter = converter
        self.journal = journal
        self.cache = cache
        self.admission = admission
        self.decoder = decoder
        self.owners = owners
        around = surroundings.Surroundings(admission, cache)
        self.twins, self.repeats = twins.Twins(around), repeats.Repeats(around)
        self.services = services
        self.underway = underway.Underway(cache)
        self.time = time
        self.ids = source

    async def create(self, call: Call, body: Any, duplicates: Sequence[str] = (), text: bytes = b"") -> Done:
        """POST of an object in the caller's version; `duplicates` are the parser's complaints, `text` is what it read.

        Raises StatusError.
        """
        await self.cache.fresh()
        twin = self.twins.find(call, body)
        if twin is not None:
            named = _named(call, meta.name(body))
            return await self._settle(named, functools.partial(self._twin, named, twin))
        obj = self.decoder.decode(call, body, duplicates, text=text)
        if meta.resource_version(obj) not in ("", "0"):
            raise errors.StatusError(500, "", "resourceVersion should not be set on objects to be created")
        prefix = "" if meta.name(obj) else str(meta.meta(obj).get("generateName") or "")
        refusal: errors.StatusError | None = None
        for _ in range(NAMES_TRIED if prefix else 1):
            name = identity.generated_name(prefix, self.ids.suffix()) if prefix else meta.name(obj)
            named = _named(call, name)
            try:
                return await self._settle(named, functools.partial(self._first, named, body, obj))
            except errors.StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
                refusal = error
        assert refusal is not None
        raise refusal

    async def update(self, call: Call, body: Any, duplicates: Sequence[str] = (), text: bytes = b"") -> Done:
        """PUT of an object, or with `call.subresource` of its status, in the caller's version."""
        known = self._current(call) if call.speaks_as_stored else None
        obj = self.decoder.decode(call, body, duplicates, known.obj if known is not None else None, text)
        uid, wanted = meta.uid(obj), _revision(obj)

        async def decide(current: Item | None) -> deletion.Verdict:
            if current is None:
                if not call.kind.create_on_update:
                    raise call.not_found()
                return await self._creation(call, obj, None)
            if uid and uid != meta.uid(current.obj):
                raise call.conflict(_uid_mismatch(call, uid, current))
            if wanted and wanted != current.revision:
                raise call.conflict(MODIFIED)
            if not wanted and not call.kind.unconditional_update:
                field = errors.FieldError("metadata.resourceVersion", "FieldValueInvalid", f"Invalid value: {wanted:#x}: {UNVERSIONED}")
                raise errors.invalid_object(call.kind.plural, call.kind.group, call.name, [field])
            return await self._change(call, obj, current)

        return await self._settle(call, decide)

    async def patch(self, call: Call, patch: patching.Patch) -> Done:
        """PATCH of any of the four types; an apply to what does not exist creates it."""

        async def decide(current: Item | None) -> deletion.Verdict:
            if current is None:
                if not patch.creates or call.subresource:
                    raise call.not_found()
                return await self._creation(call, self._applied(call, patch, None), None, tracked=True)
            if patch.uid and patch.uid != meta.uid(current.obj):
                raise call.conflict(_uid_mismatch(call, patch.uid, current))
            if patch.resource_version and patch.resource_version != str(current.revision):
                raise call.conflict(MODIFIED)
            if patch.creates:
                return await self._apply(call, patch, current)
            obj = patching.patched(self.decoder, call, patch, current.obj)
            if _revision(obj) not in (0, current.revision):
                raise call.conflict(MODIFIED)
            return await self._change(call, obj, current)

        return await self._settle(call, decide)

    async def _apply(self, call: Call, patch: patching.Patch, current: Item) -> deletion.Verdict:
        if self.repeats.knows(call, patch, current):
            return deletion.Verdict(current.obj)
        verdict = await self._change(call, self._applied(call, patch, current.obj), current, tracked=True)
        if not verdict.gone and same_object(verdict.obj, current):
            self.repeats.remember(call, patch, current)
        return verdict

    async def delete(self, call: Call, options: DeleteOptions) -> Done:
        async def decide(current: Item | None) -> deletion.Verdict:
            if current is None:
                raise call.not_found()
            _check_preconditions(call, options, current)
            attributes = self._attributes(call, "DELETE", current.obj)
            await self.admission.validate(attributes, await self.admission.admit(attributes, current.obj))
            return deletion.delete(call.kind, current.obj, options, self.time.now())

        return await self._settle(call, decide)

    async def delete_collection(self, call: Call, items: Sequence[Item], options: DeleteOptions) -> None:
        """Delete the listed objects, those that vanish meanwhile too."""
        for item in items:
            try:
                await self.delete(replace(call, namespace=meta.namespace(item.obj), name=meta.name(item.obj)), options)
            except errors.StatusError as error:
                if error.code != 404:
                    raise

    async def admitted(self, call: Call, body: meta.Obj, operation: str) -> meta.Obj:
        """The body of a subresource that is of another kind (Binding, PodExecOptions) as admission wants it."""
        attributes = self._attributes(call, operation, None)
        obj = await self.admission.admit(attributes, body)
        await self.admission.validate(attributes, obj)
        return obj

    async def mutated(self, call: Call, obj: meta.Obj, old: meta.Obj) -> meta.Obj:
        """The body of an update of a subresource of another kind (Scale) as mutating admission wants it."""
        return await self.admission.admit(self._attributes(call, "UPDATE", old), obj)

    async def change(
        self,
        call: Call,
        decide: Callable[[meta.Obj], meta.Obj | Coroutine[Any, Any, meta.Obj]],
        judged: Callable[[meta.Obj], meta.Obj] | None = None,
    ) -> Done:
        """A subresource's own write: `decide` gives the successor of the stored object, already valid.

        `judged` is what validating admission sees of both, where it is to see anything.
        """

        async def verdict(current: Item | None) -> deletion.Verdict:
            if current is None:
                raise call.not_found()
            made = decide(current.obj)
            obj: meta.Obj = await made if isinstance(made, CoroutineType) else made  # type: ignore[assignment]
            if judged is not None:
                await self.admission.validate(self._attributes(call, "UPDATE", judged(current.obj)), judged(obj))
            return self._succession(call, obj, current)

        return await self._settle(call, verdict)

    async def _settle(self, call: Call, decide: Decide) -> Done:
        """Decide on what is stored, write, and decide again when someone else wrote meanwhile."""
        await self.cache.fresh()
        current = self._current(call)
        for _ in range(ATTEMPTS):
            verdict = await self._decided(call, decide, current)
            pending = self.underway.begin(call, verdict.obj, current)
            try:
                done = await self._commit(call, verdict, current)
                pending.revision = done.revision
                await self.converter.prepare(call.kind, call.version, [done.item])
                return done
            except errors.StatusError:
                verdict.undo()
                raise
            except types.Conflict as conflict:
                verdict.undo()
                if call.guard is not None and conflict.key == call.guard.key:
                    raise call.conflict("the object that this was decided for has been modified") from conflict
                current = Item.of(conflict.actual) if conflict.actual is not None and conflict.actual.value is not None else None
            finally:
                self.underway.end(pending)
        raise call.conflict(MODIFIED)

    async def _decided(self, call: Call, decide: Decide, current: Item | None) -> deletion.Verdict:
        if call.kind.conversions is None:
            return await decide(current)
        return await self.converter.settled(functools.partial(decide, current))

    async def _commit(self, call: Call, verdict: deletion.Verdict, current: Item | None) -> Done:
        if current is not None and not verdict.gone and (verdict.obj is current.obj or same_object(verdict.obj, current)):
            return Done(current, 0)
        obj = identity.unstamped(verdict.obj)
        if call.dry_run:
            verdict.undo()
            return Done(_unsaved(obj, current), 0, created=current is None, gone=verdict.gone)
        key = types.key_of(call.kind.storage_id, call.namespace, call.name)
        operation = _removal(key, current) if verdict.gone else self._put(call, key, obj, current)
        try:
            operations = (operation,) if call.guard is None else (call.guard, operation)
            (entry,) = await self.journal.commit(operations, call.provenance)
        except types.Full as full:
            raise errors.insufficient_storage(f"the journal accepts no writes but deletions: {full}") from full
        if verdict.gone:
            self.services.release(call.kind, verdict.obj)
            return Done(Item(_with_revision(verdict.obj, entry.mod_revision), entry.mod_revision, b""), entry.mod_revision, gone=True)
        if current is not None:
            self.services.settle(call.kind, obj, current.obj)
        shown = self._current(call)  # the same object, unless the cache is behind or already further
        item = shown if shown is not None and shown.revision == entry.mod_revision else Item.of(entry)
        return Done(item, entry.mod_revision, created=current is None)

    def _put(self, call: Call, key: str, obj: meta.Obj, current: Item | None) -> types.Put:
        value = bytes(memoryview(rawjson.dumps(obj)))  # what orjson returns has several times the room that it needs
        if len(value) > types.MAX_VALUE_BYTES:
            raise errors.StatusError(413, "RequestEntityTooLarge", f"the stored object would be larger than {types.MAX_VALUE_BYTES} bytes")
        before = current.obj if current is not None else None
        return types.Put(
            key,
            value,
            expect=current.revision if current is not None else 0,
            obj=obj,
            durability=types.Durability.VOLATILE if call.kind.volatile(before, obj) else types.Durability.DURABLE,
            spec_changed=before is None or not identity.same_spec(obj, before),
        )

    def _applied(self, call: Call, patch: patching.Patch, live: meta.Obj | None) -> meta.Obj:
        config = patching.configuration(call, patch)
        if live is None and meta.uid(config):
            raise call.conflict(f"uid mismatch: the provided object specified uid {meta.uid(config)}, and no existing object was found")
        if live is not None and meta.resource_version(config) not in ("", "0", meta.resource_version(live)):
            raise call.conflict(MODIFIED)
        merged = self.owners.applied(call, config, live, clock.rfc3339(self.time.now()), force=patch.force)
        return self.decoder.redecode(call, merged)

    async def _first(self, call: Call, body: Any, obj: meta.Obj, current: Item | None) -> deletion.Verdict:
        verdict = await self._creation(call, obj, current)
        self.twins.remember(call, body, verdict.obj)
        return verdict

    async def _twin(self, call: Call, twin: twins.Twin, current: Item | None) -> deletion.Verdict:
        if current is not None:
            raise _exists(call, call.name, None)
        return deletion.Verdict(twin.named(call.name, self.ids.uid(), clock.rfc3339(self.time.now())))

    async def _creation(self, call: Call, obj: meta.Obj, current: Item | None, tracked: bool = False) -> deletion.Verdict:
        now = clock.rfc3339(self.time.now())
        if not tracked:
            obj = self.owners.created(call, identity.unsent(obj), now)
        sent, obj = obj, call.version.to_hub(obj)
        attributes = self._attributes(call, "CREATE", None)
        admitted = await self.admission.admit(attributes, obj)
        # Validated in the caller's version: what a webhook must convert, before the server adds what is new each time.
        shown = None if call.kind.conversions is None or call.is_hub else sent if admitted is obj else call.version.from_hub(admitted)
        obj = admitted
        obj = identity.created(call.kind, obj, namespace=call.namespace, name=call.name, uid=self.ids.uid(), now=now)
        obj = call.kind.prepare(obj, None)
        if call.kind.records_requestor:
            obj = identity.requested_by(obj, call.user)
        obj, release = self.services.allocate(call.kind, obj, None) if not call.subresource else (obj, allocators.nothing)
        try:
            self._validate(call, obj, None, shown)
            await self.admission.validate(attributes, obj)
            if current is not None:  # told only of what could be created otherwise
                raise _exists(call, call.name, meta.meta(obj).get("generateName"))
        except (errors.StatusError, asyncio.CancelledError):
            release()
            raise
        return deletion.Verdict(obj, undo=release)

    async def _change(self, call: Call, obj: meta.Obj, current: Item, tracked: bool = False) -> deletion.Verdict:
        """The successor of `current` that an update in the caller's version asks for."""
        if not tracked:
            obj = self.owners.updated(call, obj, current.obj, clock.rfc3339(self.time.now()))
        obj = call.version.to_hub(obj)
        attributes = self._attributes(call, "UPDATE", current.obj)
        obj = await self.admission.admit(attributes, obj)
        obj = identity.updated(obj, current.obj)
        before = _in_hub_version(call.kind, current.obj)
        if call.subresource:
            obj = partial_writes.prepared(call.kind, call.subresource, obj, before, clock.rfc3339(self.time.now()))
        else:
            obj = call.kind.prepare(obj, before)
        if call.subresource not in ("status", "approval"):
            obj = identity.next_generation(call.kind, dict(obj), before)
        obj = apply.settle_times(current.obj, obj)
        obj, release = self.services.allocate(call.kind, obj, current.obj)
        try:
            self._validate(call, obj, current.obj)
            await self.admission.validate(attributes, obj)
        except (errors.StatusError, asyncio.CancelledError):
            release()
            raise
        return self._succession(call, obj, current, release)

    def _succession(self, call: Call, obj: meta.Obj, current: Item, undo: allocators.Release = allocators.nothing) -> deletion.Verdict:
        """An update that takes the last finalizer of an object which is being deleted removes it."""
        return deletion.Verdict(obj, gone=meta.is_deleting(current.obj) and deletion.is_finished(call.kind, obj), undo=undo)

    def _validate(self, call: Call, obj: meta.Obj, old: meta.Obj | None, own: meta.Obj | None = None) -> None:
        """Raises StatusError 422; `own` is `obj` in the caller's version, where that is at hand."""
        kind = call.kind
        refused = _refused(call, obj, old)
        if refused and call.emptied and call.is_hub:  # upstream tells empty lists from unset ones
            refused = _refused(call, decode.refilled(obj, call.emptied), old) or refused
        if call.version.validate is not None:
            shown = call.version.from_hub(old) if old is not None else None
            more, warnings = call.version.validate(call.version.from_hub(obj) if own is None else own, shown, call.subresource)
            refused += more
            for text in warnings:
                call.warn(text)
        if refused:
            refused = gostruct.told(self.decoder.schemas, refused)
            raise errors.invalid_object(str(obj["kind"]), kind.stored_group, meta.name(obj), refused)
        for text in kind.warn(obj, old):
            call.warn(text)

    def _attributes(self, call: Call, operation: str, old: meta.Obj | None) -> Attributes:
        return Attributes(
            call=call,
            operation=operation,
            old=old,
            cache=self.cache,
            authoriser=self.authoriser,
            underway=self.underway,
            time=self.time,
        )

    def _current(self, call: Call) -> Item | None:
        return self.cache.get(call.kind.storage_id, call.namespace, call.name)


def _named(call: Call, name: str) -> Call:
    return call if call.name == name else replace(call, name=name)


def _in_hub_version(kind: Kind, obj: meta.Obj) -> meta.Obj:
    """A stored object as it would be stored now: a definition may have come to store another version since."""
    return kind.hub_version.from_hub(obj) if kind.custom and obj.get("apiVersion") != kind.api_version() else obj


def _refused(call: Call, obj: meta.Obj, old: meta.Obj | None) -> list[errors.FieldError]:
    refused = metadata.refused(call.kind, obj, old, call.subresource)
    if old is None or call.subresource or not identity.shares_content(obj, old):
        refused += _rules(call.kind, call.subresource)(obj, old)
    return refused


def _rules(kind: Kind, subresource: str) -> Callable[[meta.Obj, meta.Obj | None], Iterable[errors.FieldError]]:
    return kind.validate_others.get(subresource, kind.validate_status) if subresource else kind.validate


def same_object(obj: meta.Obj, current: Item) -> bool:
    """Whether storing `obj` would change nothing."""
    return identity.unstamped(obj) == identity.unstamped(current.obj)


def _removal(key: str, current: Item | None) -> types.Remove:
    assert current is not None
    return types.Remove(key, expect=current.revision)


def _unsaved(obj: meta.Obj, current: Item | None) -> Item:
    """The outcome of a dry run: an update shows the revision it was decided on, a creation none."""
    return Item(_with_revision(obj, current.revision), current.revision, b"") if current is not None else Item(obj, 0, b"")


def _with_revision(obj: meta.Obj, revision: int) -> dict[str, Any]:
    return meta.put(obj, ("metadata", "resourceVersion"), str(revision))


def _revision(obj: meta.Obj) -> int:
    """The revision that an update insists on; 0 for none. Raises StatusError 500 as kube-apiserver does."""
    text = meta.resource_version(obj)
    is_number = not text or (text.isascii() and text.isdecimal())
    if not is_number or len(text) > DIGITS_MOST:
        raise errors.StatusError(500, "", f'strconv.ParseUint: parsing "{text}": {"value out of range" if is_number else "invalid syntax"}')
    return int(text or 0)


def _exists(call: Call, name: str, prefix: Any) -> errors.StatusError:
    error = errors.already_exists(call.kind.plural, call.kind.group, name)
    if not prefix:
        return error
    message = f"{error.message}, the server was not able to generate a unique name for the object"
    return errors.StatusError(409, "AlreadyExists", message, details=error.details, retry_after_seconds=1)


# Where Kubernetes keeps what it does not keep under the kind's own name.
_ETCD_PLACES = {
    "endpoints": "services/endpoints",
    "ingresses.networking.k8s.io": "ingress",
    "nodes": "minions",
    "replicationcontrollers": "controllers",
    "services": "services/specs",
}


def _uid_mismatch(call: Call, uid: str, current: Item) -> str:
    place = _ETCD_PLACES.get(call.kind.id, call.kind.plural)
    key = f"/registry/{place}/{call.namespace + '/' if call.namespace else ''}{call.name}"
    found = meta.uid(current.obj)
    return (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
    )


def _check_preconditions(call: Call, options: DeleteOptions, current: Item) -> None:
    detail = ""
    if options.uid and options.uid != meta.uid(current.obj):
        detail = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta.uid(current.obj)})."
            " The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != str(current.revision):
        detail = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion"
            f" in record ({current.revision}). The object might have been modified"
        )
    if detail:
        kind = call.kind
        message = f'Operation cannot be fulfilled on {kind.kind}{"." + kind.group if kind.group else ""} "{call.name}": {detail}'
        details = {"name": call.name, **({"group": kind.group} if kind.group else {}), "kind": kind.kind}
        raise errors.StatusError(409, "Conflict", message, details=details)
