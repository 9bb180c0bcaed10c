"""The scale subresource: a workload shown and written as an autoscaling/v1 Scale.

A write of the Scale becomes a write of spec.replicas, owned by whoever made it, as model/apply/scale.py says.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from reconciler.api.cache import Item
from reconciler.api.calls import Call
from reconciler.api.objects import MODIFIED, Done, Objects
from reconciler.api.patching import Patch, plainly_patched
from reconciler.kit import clock
from reconciler.model import apply, decode, errors, meta
from reconciler.model import kind as kinds
from reconciler.model import patch as patches
from reconciler.model import scale as scales
from reconciler.model.apply import fields, managed, scale
from reconciler.model.kind import Subresource

SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
WORKLOAD = kinds.scale()

Make = Callable[[dict[str, Any]], meta.Obj]


class Scaling:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._form = scale.form(objects.decoder.schemas)

    async def get(self, call: Call) -> dict[str, Any]:
        await self._objects.cache.fresh()
        item = self._objects.cache.get(call.kind.storage_id, call.namespace, call.name)
        if item is None:
            raise call.not_found()
        if call.kind.custom and scales.at(item.obj, _paths(call).replicas_path) is None:
            missing = f'the spec replicas field ".{".".join(_paths(call).replicas_path)}" does not exist'
            details = {"causes": [{"message": missing}]}
            raise errors.StatusError(500, "InternalError", f"Internal error occurred: {missing}", details=details)
        return scale_of(item.obj, _paths(call))

    async def update(self, call: Call, body: Any) -> Done:
        sent = self._decoded(call, body)
        return await self._written(call, lambda live: self._tracked(call, live, sent))

    async def patch(self, call: Call, patch: Patch) -> Done:
        def make(live: dict[str, Any]) -> meta.Obj:
            if patch.type == "apply":
                return apply.apply(self._form, live, patch.body, call.manager, self._now(), force=patch.force)
            bare = scale_of(live, status=live["status"])
            if patch.type == "strategic":
                merged = patches.strategic_patch(self._form.node, bare, patch.body)
            else:
                merged = plainly_patched(patch, bare)
            return self._tracked(call, live, self._patched(call, bare, merged))

        return await self._written(call, make)

    async def _written(self, call: Call, make: Make) -> Done:
        """Let `make` turn the Scale into its successor, and bring that back to the object."""
        version = call.kind.api_version(call.version.name)
        sub = _paths(call)
        path = tuple(fields.field(name) for name in sub.replicas_path)
        paths = {call.kind.api_version(one.name): path for one in call.kind.versions}

        async def decide(current: meta.Obj) -> meta.Obj:
            owners = meta.meta(current).get("managedFields") or []
            live = scale_of(current, sub, owners=scale.shown(owners, paths))
            made = make(live)
            if meta.resource_version(made) not in ("", "0", meta.resource_version(current)):
                raise call.conflict(MODIFIED)
            if meta.uid(made) not in ("", meta.uid(current)):
                raise call.conflict(MODIFIED)
            made = await self._admitted(call, made, scale_of(current, sub))
            replicas = _replicas(call, made)
            entries = scale.parent(owners, meta.meta(made).get("managedFields") or [], version, paths)
            ordered = managed.in_map_order(entries) if call.kind.custom else entries
            obj = meta.put(meta.put(current, sub.replicas_path, replicas), ("metadata", "managedFields"), ordered)
            if not entries:
                obj = {**meta.without(obj, ("metadata", "managedFields"))}
            if (scales.at(current, sub.replicas_path) or 0) == replicas:
                return obj
            _validate(call, obj, current)
            return meta.put(obj, ("metadata", "generation"), meta.generation(current) + 1)

        done = await self._objects.change(call, decide, lambda obj: scale_of(obj, sub))
        return replace(done, item=Item(scale_of(done.item.obj, _paths(call)), done.item.revision, b""))

    async def _admitted(self, call: Call, made: meta.Obj, before: meta.Obj) -> meta.Obj:
        wanted = await self._objects.mutated(call, made, before)
        return made if wanted is made else self._decoded(call, wanted)

    def _tracked(self, call: Call, live: dict[str, Any], new: meta.Obj) -> meta.Obj:
        return apply.track(self._form, live, new, call.manager, self._now())

    def _decoded(self, call: Call, body: Any) -> meta.Obj:
        try:
            return _named(call, decode.decode(self._form.node, body).obj)
        except decode.DecodeError as error:
            raise errors.bad_request(f'Scale in version "v1" cannot be handled as a Scale: {error}') from None

    def _patched(self, call: Call, before: meta.Obj, merged: meta.Obj) -> meta.Obj:
        try:
            return _named(call, decode.decode(self._form.node, merged).obj)
        except decode.DecodeError as error:
            refused = errors.invalid("patch", patches.shown(self._form.node, before, merged, sort_new=True), str(error))
            message = f' "" is invalid: {refused}'
            raise errors.StatusError(422, "Invalid", message, details={"causes": [refused.cause()]}) from None

    def _now(self) -> str:
        return clock.rfc3339(self._objects.time.now())


def _paths(call: Call) -> Subresource:
    found = call.kind.subresource("scale")
    assert found is not None
    return found


def _validate(call: Call, obj: meta.Obj, old: meta.Obj) -> None:
    """A custom resource is validated as a whole."""
    if call.version.validate is not None:
        refused, _ = call.version.validate(obj, old, "scale")
        if refused:
            raise errors.invalid_object(call.kind.kind, call.kind.group, call.name, refused)


def scale_of(obj: meta.Obj, sub: Subresource = WORKLOAD, *, owners: Any = None, status: Any = None) -> dict[str, Any]:
    """The Scale that an object shows; `sub` says where it keeps what, `owners` are its managedFields, which only writes look at."""
    metadata = meta.meta(obj)
    shown = {key: metadata[key] for key in SHOWN if key in metadata}
    if owners:
        shown["managedFields"] = owners
    found = scales.of(obj, sub)
    if status is None:
        status = {"replicas": found.present, **({"selector": found.selector} if found.selector else {})}
    spec = {"replicas": found.wanted} if found.wanted else {}
    return {"kind": "Scale", "apiVersion": scale.API_VERSION, "metadata": shown, "spec": spec, "status": status}


def _named(call: Call, obj: meta.Obj) -> meta.Obj:
    if meta.name(obj) not in ("", call.name):
        raise errors.bad_request(f"the name of the object ({meta.name(obj)}) does not match the name on the URL ({call.name})")
    return obj


def _replicas(call: Call, made: meta.Obj) -> int:
    replicas = int(meta.spec(made).get("replicas") or 0)
    if replicas < 0 and not call.kind.custom:  # of a custom resource the schema says so
        refused = errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid_object("Scale", "autoscaling", call.name, [refused])
    return replicas
