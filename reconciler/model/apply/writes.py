"""The two kinds of write: tracked updates and applied configurations. See the package for what they promise."""

import json
from collections.abc import Mapping
from typing import Any

from reconciler.model import errors, govalue, meta
from reconciler.model.apply import check, compare, fields, managed, merge, owners, typed
from reconciler.model.apply.form import SERVER_OWNED, STRIPPED, Form
from reconciler.model.apply.managed import Entry, Managers

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CLIENT_SIDE = "kubectl"  # the one applier that takes over what kubectl's client-side apply had written
BEFORE_FIRST_APPLY = "before-first-apply"
MOST_ANNOTATION_BYTES = 256 * 1024


def track(form: Form, live: meta.Obj | None, new: meta.Obj, manager: str, now: str) -> meta.Obj:
    """`new` with its managedFields, which `manager` wrote over `live` (None: it is created) at `now` (RFC 3339).

    A client may send managedFields to change them, or an empty list to forget them; through a subresource it may not.
    """
    given = meta.meta(new).get("managedFields")
    try:
        managers = _starting(form, live, new, given)
        if managers is None:
            return _with(new, [])
        bare = _bare(new)
        managers = _tracked(form, None if live is None else _bare(live), bare, managers, manager, now)
    except typed.Untypable:
        return _with(new, meta.meta(live or {}).get("managedFields") or [])
    return _with(new, managed.wire(managers, sort_keys=form.custom))


def apply(form: Form, live: meta.Obj | None, config: meta.Obj, manager: str, now: str, *, force: bool = False) -> meta.Obj:
    """The object that applying `config` over `live` (None: there is none) makes, managedFields included.

    Raises StatusError: 400 for the wrong kind of configuration, 500 as upstream for one that does not fit the schema,
    409 for conflicts, with a cause for each.
    """
    _require_applicable(form, config)
    base = {} if live is None else _bare(live)
    managers = managed.of(live or {})
    try:
        try:
            merged, managers = _applied(form, live, base, config, managers, manager, now, force)
        except owners.Conflicted as problem:
            left = _beyond_client_side(form, base, manager, problem.conflicts)
            if left:
                raise _conflict(left) from None
            merged, managers = _applied(form, live, base, config, managers, manager, now, force=True)
    except typed.Untypable as problem:
        raise errors.StatusError(500, "", f"failed to merge config: {problem}") from None
    if manager == CLIENT_SIDE and meta.annotations(merged).get(LAST_APPLIED):
        merged = _with_last_applied(merged, config)
    return _with(merged, managed.wire(managers, sort_keys=form.custom))


def settle_times(old: meta.Obj, new: meta.Obj) -> meta.Obj:
    """`new` with the times of `old`'s managedFields where nothing else distinguishes the two objects."""
    before, after = meta.meta(old).get("managedFields") or (), meta.meta(new).get("managedFields") or ()
    if not after or len(before) != len(after):
        return new
    if all(one.get("time") == other.get("time") for one, other in zip(before, after, strict=True)):
        return new
    if any({**one, "time": ""} != {**other, "time": ""} for one, other in zip(before, after, strict=True)):
        return new
    return _with(new, before) if _content(new) == _content(old) else new


def _starting(form: Form, live: meta.Obj | None, new: meta.Obj, given: Any) -> Managers | None:
    """The owners before the write; None when the object is not tracked."""
    if form.subresource or given is None:
        managers = managed.of(live or {})
    elif managed.is_reset(given):
        managers = {}
    elif live is not None and given == meta.meta(live).get("managedFields"):
        managers = managed.of(live)
    else:
        try:
            managers = managed.parse(given)
        except managed.Malformed:
            managers = managed.of(live or {})
    return None if live is not None and not managers else managers


def _tracked(form: Form, live: meta.Obj | None, new: meta.Obj, managers: Managers, manager: str, now: str) -> Managers:
    if live is None and not managers:
        taken = form.writable(compare.created(form.node, form.empty, new, SERVER_OWNED))
    else:
        live = form.empty if live is None else live
        change = compare.compare(form.node, live, new)
        managers = owners.take(form, live, new, owners.settled(form, managers), change, None)
        taken = fields.difference(form.writable(fields.union(change.modified, change.added)), STRIPPED)
    if taken:
        writer = managed.updater(manager, form.api_version, form.subresource)
        before = managers.get(writer)
        mine = fields.union(before.fields, taken) if before else taken
        managers = {**managers, writer: Entry(mine, form.api_version, now)}
    return managed.capped(managers)


def _applied(
    form: Form, live: meta.Obj | None, base: meta.Obj, config: meta.Obj, managers: Managers, manager: str, now: str, force: bool
) -> tuple[meta.Obj, Managers]:
    if not managers and live is not None:
        managers = _tracked(form, None, base, {}, BEFORE_FIRST_APPLY, now)
    managers = owners.settled(form, managers)
    merged = merge.merge(form.node, base, config)
    writer = managed.applier(manager, form.subresource)
    last = managers.get(writer)
    mine = form.writable(typed.of(form.node, config))
    time = last.time if last else ""
    managers = {**managers, writer: Entry(mine, form.api_version, time)}
    merged = owners.pruned(form, merged, managers, last)
    change = compare.compare(form.node, base, merged)
    managers = owners.take(form, base, merged, managers, change, writer, force=force)
    changed = live is None or not compare.equal(base, merged)
    mine = fields.difference(mine, STRIPPED)
    if mine:
        managers[writer] = Entry(mine, form.api_version, now if changed else time)
    else:
        managers.pop(writer, None)
    return merged, managers


def _beyond_client_side(form: Form, live: meta.Obj, manager: str, conflicts: owners.Conflicts) -> owners.Conflicts:
    """The conflicts that kubectl's own earlier client-side apply does not explain."""
    text = meta.annotations(live).get(LAST_APPLIED)
    if manager != CLIENT_SIDE or not text:
        return conflicts
    try:
        last = json.loads(text)
    except ValueError:
        return conflicts
    if not isinstance(last, Mapping) or last.get("apiVersion") != form.api_version or check.problems(form.node, last):
        return conflicts
    change = compare.compare(form.node, last, live)
    theirs = typed.of(form.node, last)
    for part in (change.modified, change.added, change.removed):
        theirs = fields.difference(theirs, part)
    return [conflict for conflict in conflicts if not fields.has(theirs, conflict[1])]


def _require_applicable(form: Form, config: meta.Obj) -> None:
    group, _, version = str(config.get("apiVersion", "")).rpartition("/")
    kind = config.get("kind")
    type_ = f"{group}/{version}, Kind={kind if isinstance(kind, str) else ''}"
    if (config.get("apiVersion"), config.get("kind")) != (form.api_version, form.kind):
        raise errors.bad_request(f"invalid object type: {type_}")
    if meta.meta(config).get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    if text := check.problems(form.node, config):
        named = f"{meta.namespace(config)}/{meta.name(config)}; {type_}"
        raise errors.StatusError(500, "", f"failed to create typed patch object ({named}): {text}")


def _conflict(conflicts: owners.Conflicts) -> errors.StatusError:
    conflicts = sorted(conflicts, key=lambda conflict: conflict[0])
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {managed.shown(writer)}", "field": fields.shown(path)}
        for writer, path in conflicts
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines: list[str] = []
        for cause in causes:
            head = cause["message"].replace("conflict", "conflicts", 1) + ":"
            lines.extend(([] if head in lines else [head]) + [f"- {cause['field']}"])
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return errors.StatusError(409, "Conflict", message, details={"causes": causes})


def _with_last_applied(merged: meta.Obj, config: meta.Obj) -> meta.Obj:
    """kubectl's annotation kept in step, so that client-side apply works again; dropped where it would be too large."""
    plain = meta.without(config, ("metadata", "annotations", LAST_APPLIED))
    text = govalue.marshal(plain) + "\n"
    annotations = {**meta.annotations(merged), LAST_APPLIED: text}
    if sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items()) > MOST_ANNOTATION_BYTES:
        del annotations[LAST_APPLIED]
    return meta.put(merged, ("metadata", "annotations"), annotations)


def _bare(obj: meta.Obj) -> meta.Obj:
    return meta.without(obj, ("metadata", "managedFields")) if "managedFields" in meta.meta(obj) else obj


def _content(obj: meta.Obj) -> meta.Obj:
    """What a write is about: neither its revision nor its owners."""
    kept = {name: value for name, value in meta.meta(obj).items() if name not in ("managedFields", "resourceVersion")}
    return {**obj, "metadata": kept}


def _with(obj: meta.Obj, entries: Any) -> meta.Obj:
    if not entries:
        return _bare(obj)
    return {**obj, "metadata": {**meta.meta(obj), "managedFields": entries}}
