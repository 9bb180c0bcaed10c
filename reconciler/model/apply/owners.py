"""What a write does to the other writers: fields taken from them, and fields kept because of them.

Owners speak of the version that they wrote; a change is compared as each of their versions sees it. A version that is
no longer served has no owners.
"""

from typing import Any

from reconciler.model import kind, meta
from reconciler.model.apply import compare, fields, merge, typed
from reconciler.model.apply.fields import Fields
from reconciler.model.apply.form import Form, Other
from reconciler.model.apply.managed import Entry, Managers, Writer
from reconciler.model.schema import Node

Conflicts = list[tuple[Writer, fields.Path]]


class Conflicted(Exception):
    def __init__(self, conflicts: Conflicts) -> None:
        super().__init__()
        self.conflicts = conflicts


def take(
    form: Form,
    live: meta.Obj,
    new: meta.Obj,
    managers: Managers,
    change: compare.Comparison,
    writer: Writer | None,
    *,
    force: bool = True,
) -> Managers:
    """The owners without what a change took from them; `writer` itself is left alone. Raises Conflicted."""
    changes = {form.api_version: (form.writable(fields.union(change.modified, change.added)), form.writable(change.removed))}
    conflicts: Conflicts = []
    left: Managers = {}
    for other, entry in managers.items():
        if other == writer:
            left[other] = entry
            continue
        if entry.api_version not in changes:
            found = _compared_as(form, entry.api_version, live, new)
            if found is None:
                continue  # a version that is no longer served has no owners
            changes[entry.api_version] = found
        set_, removed = changes[entry.api_version]
        taken = fields.intersection(entry.fields, set_)
        if taken and not force:
            conflicts.extend((other, path) for path in fields.paths(taken))
        rest = fields.difference(fields.difference(entry.fields, taken), removed)
        if rest:
            left[other] = entry if rest is entry.fields else Entry(rest, entry.api_version, entry.time)
    if conflicts:
        raise Conflicted(conflicts)
    return left


def _compared_as(form: Form, api_version: str, live: meta.Obj, new: meta.Obj) -> tuple[Fields, Fields] | None:
    found = form.other(api_version)
    if found is None:
        return None
    change = compare.compare(found.node, found.there(live), found.there(new))
    return form.writable(fields.union(change.modified, change.added)), form.writable(change.removed)


def settled(form: Form, managers: Managers) -> Managers:
    """Only a custom resource's schema changes under its objects."""
    if not form.custom:
        return managers
    settled: Managers = {}
    for writer, entry in managers.items():
        view = _seen_as(form, entry.api_version)
        if view is not None:
            settled[writer] = Entry(typed.settle(view.node, entry.fields), entry.api_version, entry.time)
    return settled


def pruned(form: Form, merged: meta.Obj, managers: Managers, last: Entry | None) -> meta.Obj:
    """`merged` without what its applier gave up, unless another owns it too. Each owner speaks of its own version."""
    view = _seen_as(form, last.api_version) if last is not None and last.fields else None
    if last is None or view is None:
        return merged
    owned: dict[str, Fields] = {last.api_version: fields.NONE}
    for entry in managers.values():
        owned[entry.api_version] = fields.union(owned.get(entry.api_version, fields.NONE), entry.fields)
    given_up = typed.members(view.node, last.fields)
    pruned = view.back(merge.remove(view.node, view.there(merged), given_up))
    for api_version, theirs in owned.items():
        if (theirs_as := _seen_as(form, api_version)) is not None:
            pruned = _with_owned(theirs_as, merged, pruned, theirs)
    return _with_unowned(view, merged, pruned, given_up)


def _with_owned(view: Other, merged: meta.Obj, pruned: meta.Obj, owned: Fields) -> meta.Obj:
    """`pruned` with what it lost of `merged` though somebody owns it."""
    whole = view.there(merged)
    kept = fields.union(_mentioned(view.node, view.there(pruned)), typed.members(view.node, owned))
    return view.back(merge.remove(view.node, whole, fields.difference(_mentioned(view.node, whole), kept)))


def _with_unowned(view: Other, merged: meta.Obj, pruned: meta.Obj, given_up: Fields) -> meta.Obj:
    """`pruned` with what it lost of `merged` though the applier never owned it."""
    whole = view.there(merged)
    lost = fields.difference(_mentioned(view.node, whole), _mentioned(view.node, view.there(pruned)))
    return view.back(merge.remove(view.node, whole, fields.intersection(lost, given_up)))


def _mentioned(node: Node, value: Any) -> Fields:
    return typed.members(node, typed.of(node, value))


def _seen_as(form: Form, api_version: str) -> Other | None:
    return Other(form.node, kind.identity, kind.identity) if api_version == form.api_version else form.other(api_version)
