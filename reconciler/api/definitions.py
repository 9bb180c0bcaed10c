"""CustomResourceDefinitions at work: what they define is served, their names are accepted, their objects go with them.

The roster follows the watch cache synchronously, so a definition is served as soon as its Established condition is
visible. Conditions and the end of a definition are decided here after k8s.io/apiextensions-apiserver's naming and
finalizing controllers; they are written by one task, which works on one definition after the other.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.api.cache import Step
from reconciler.api.calls import Call, DeleteOptions, User
from reconciler.api.deletion import CLEANUP, DEFINITIONS
from reconciler.api.objects import Objects
from reconciler.kinds import customresourcedefinition, customresourcedefinition_kind
from reconciler.kit import clock
from reconciler.model import conditions, errors, meta
from reconciler.model.kind import Kind
from reconciler.store.types import Provenance

log = logging.getLogger(__name__)

MANAGER = "kube-apiserver"
USER = User("system:apiserver", ("system:masters",))
AGAIN_SECONDS = 1.0


class Definitions:
    """`load()` once the cache is loaded, then keep `run()` running."""

    def __init__(self, objects: Objects, time: clock.Clock) -> None:
        self._objects = objects
        self._time = time
        self._without_definitions = objects.decoder.roster
        self._waiting: dict[str, None] = {}  # names of definitions to look at, in order
        self._wake = asyncio.Event()
        self._emptied: dict[str, str] = {}  # Kind.id whose objects are going -> name of its definition

    def load(self) -> None:
        """Serve what is established, and follow the cache from here on."""
        self._objects.cache.subscribe(self._see, self._reset)
        self._reset()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            again = [name for name in self._taken() if not await self._settled(name)]
            if again:
                await self._time.sleep(AGAIN_SECONDS)
                for name in again:
                    self._look_at(name)

    def _taken(self) -> Iterator[str]:
        while self._waiting:
            name = next(iter(self._waiting))
            del self._waiting[name]
            yield name

    def _look_at(self, name: str) -> None:
        self._waiting[name] = None
        self._wake.set()

    def _reset(self) -> None:
        definitions = [item.obj for _, item in self._objects.cache.shelf(DEFINITIONS).in_order()]
        kinds = [kind for kind in map(_kind_of, definitions) if kind is not None]
        self._objects.decoder.roster = self._without_definitions.with_kinds(kinds)
        self._objects.owners.forget()
        for definition in definitions:
            self._look_at(meta.name(definition))

    def _see(self, _: int, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.kind == DEFINITIONS:
                self._follow(step)
            elif step.after is None and step.kind in self._emptied and not self._objects.cache.shelf(step.kind).items:
                self._look_at(self._emptied.pop(step.kind))

    def _follow(self, step: Step) -> None:
        """Serve what a definition has become."""
        before, after = step.before, step.after
        decoder = self._objects.decoder
        if after is None:
            assert before is not None
            decoder.roster = decoder.roster.without([_id(before.obj)])
            for _, item in self._objects.cache.shelf(DEFINITIONS).in_order():  # a name may have come free
                self._look_at(meta.name(item.obj))
        else:
            kind = _kind_of(after.obj)
            if kind is not None and (before is None or _form(before.obj) != _form(after.obj)):
                decoder.roster = decoder.roster.with_kinds([kind])
            self._look_at(meta.name(after.obj))
        self._objects.owners.forget()

    async def _settled(self, name: str) -> bool:
        """Bring one definition further; False where that has to be tried again."""
        item = self._objects.cache.get(DEFINITIONS, "", name)
        if item is None:
            return True
        try:
            if meta.is_deleting(item.obj):
                if CLEANUP in meta.finalizers(item.obj):
                    await self._remove_objects(item.obj)
            else:
                await self._write(item.obj, self._accepted(item.obj))
        except errors.StatusError as error:
            log.warning("a definition could not be brought further", extra={"facts": {"name": name, "error": error.message}})
            return error.code in (404, 409)  # then a change follows that leads here again
        return True

    def _accepted(self, definition: meta.Obj) -> Mapping[str, Any]:
        """The status with the names that no other definition of the group holds."""
        group = meta.spec(definition).get("group")
        others = [
            meta.status(item.obj).get("acceptedNames") or {}
            for _, item in self._objects.cache.shelf(DEFINITIONS).in_order()
            if meta.spec(item.obj).get("group") == group and meta.name(item.obj) != meta.name(definition)
        ]
        return customresourcedefinition.with_accepted_names(definition, others, self._time.now())

    async def _remove_objects(self, definition: meta.Obj) -> None:
        """Delete what the definition defined, and let go of it once nothing is left."""
        kind = self._objects.decoder.roster.get(_id(definition))
        now = self._time.now()
        if kind is None or not customresourcedefinition.is_established(definition):
            ended = conditions.made("Terminating", "False", "NeverEstablished", "resource was never established", now)
            await self._finish(definition, ended)
            return
        shelf = self._objects.cache.shelf(kind.id)
        if shelf.items:
            going = "CustomResource deletion is in progress"
            await self._condition(definition, conditions.made("Terminating", "True", "InstanceDeletionInProgress", going, now))
            self._emptied[kind.id] = meta.name(definition)
            call = self._call(kind, f"its definition {meta.name(definition)} is being deleted")
            await self._objects.delete_collection(call, list(shelf.items.values()), DeleteOptions())
        if not shelf.items:
            gone = conditions.made("Terminating", "False", "InstanceDeletionCompleted", "removed all instances", now)
            await self._finish(definition, gone)

    async def _finish(self, definition: meta.Obj, condition: conditions.Condition) -> None:
        def let_go(current: meta.Obj) -> meta.Obj:
            left = [name for name in meta.finalizers(current) if name != CLEANUP]
            status = {**meta.status(current), "conditions": _conditions(current, condition)}
            return {**meta.put(current, ("metadata", "finalizers"), left), "status": status}

        kind = self._objects.decoder.roster[DEFINITIONS]
        call = self._call(kind, "its objects are removed", name=meta.name(definition))
        await self._objects.change(call, let_go)

    async def _condition(self, definition: meta.Obj, condition: conditions.Condition) -> None:
        await self._write(definition, {**meta.status(definition), "conditions": _conditions(definition, condition)})

    async def _write(self, definition: meta.Obj, status: Mapping[str, Any]) -> None:
        if status == meta.status(definition):
            return
        kind = self._objects.decoder.roster[DEFINITIONS]
        call = self._call(kind, "names and conditions", name=meta.name(definition), subresource="status")
        await self._objects.update(call, {**definition, "status": status})

    def _call(self, kind: Kind, why: str, *, name: str = "", subresource: str = "") -> Call:
        return Call(
            kind=kind,
            version=kind.hub_version,
            name=name,
            subresource=subresource,
            user=USER,
            manager=MANAGER,
            provenance=Provenance(actor=MANAGER, why=why),
        )


def _conditions(definition: meta.Obj, condition: conditions.Condition) -> list[conditions.Condition]:
    return list(conditions.updated(meta.status(definition).get("conditions") or (), condition))


def _id(definition: meta.Obj) -> str:
    return meta.name(definition)  # PLURAL.GROUP, which is the Kind.id of what it defines


def _form(definition: meta.Obj) -> tuple[Any, Any, bool]:
    """What the Kind is made of."""
    status = meta.status(definition)
    return meta.spec(definition), status.get("acceptedNames"), customresourcedefinition.is_established(definition)


def _kind_of(definition: meta.Obj) -> Kind | None:
    """The kind that a definition serves; None while it is not established."""
    if not customresourcedefinition.is_established(definition):
        return None
    return customresourcedefinition_kind.kind_of(definition)
