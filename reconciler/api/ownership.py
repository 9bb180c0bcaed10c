"""managedFields of every write, through model/apply: forms are made once per version and subresource."""

from collections.abc import Callable

from reconciler.api.calls import Call
from reconciler.model import apply, meta
from reconciler.model.apply import form
from reconciler.model.schema import Schemas


class Owners:
    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._forms: dict[tuple[str, str, str], form.Form] = {}

    def created(self, call: Call, obj: meta.Obj, now: str) -> meta.Obj:
        """A new object in the caller's version, with its first owner."""
        return _owned(call, obj, lambda sent: apply.track(self._form(call), None, sent, call.manager, now))

    def updated(self, call: Call, obj: meta.Obj, live: meta.Obj, now: str) -> meta.Obj:
        """An update in the caller's version over the stored object `live`; nobody owns one of which that version shows only a part."""
        if not call.is_hub and call.kind.conversions is None and call.version.prune is not None and call.version.prune(live)[1]:
            return meta.without(obj, ("metadata", "managedFields"))
        return _owned(call, obj, lambda sent: apply.track(self._form(call), call.shown(live), sent, call.manager, now))

    def applied(self, call: Call, config: meta.Obj, live: meta.Obj | None, now: str, *, force: bool) -> meta.Obj:
        """What applying `config` over the stored object makes. Raises StatusError 409 with the conflicts."""
        shown = call.shown(live) if live is not None else None
        return apply.apply(self._form(call), shown, config, call.manager, now, force=force)

    def forget(self) -> None:
        """Forget the forms after a definition changed."""
        self._forms.clear()

    def _form(self, call: Call) -> form.Form:
        key = (call.kind.id, call.version.name, call.subresource)
        found = self._forms.get(key)
        if found is None:
            found = self._forms[key] = form.of(call.kind, call.version.name, self._schemas, call.subresource)
        return found


def _owned(call: Call, obj: meta.Obj, track: Callable[[meta.Obj], meta.Obj]) -> meta.Obj:
    """`obj` with the owners of what was sent: an empty list is owned, though it is stored as none."""
    owned = [tuple(map(str, one.path)) for one in call.emptied if one.is_null and not any(isinstance(step, int) for step in one.path)]
    sent = obj
    for path in owned:
        sent = meta.put(sent, path, [])
    tracked = track(sent)
    return {**tracked, **{path[0]: obj[path[0]] for path in owned}}
