"""Who owns what: adopting orphans that a selector matches, releasing what it no longer does.

kube-controller-manager's ControllerRefManager. An owner on its way out claims and releases nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reconciler.model import meta, plan
from reconciler.model.selectors import Selector
from reconciler.model.view import NAMESPACE, OWNER, View


@dataclass(frozen=True, slots=True)
class Claims:
    """`owned` holds what is and what is about to be owned; `actions` make it so."""

    owned: tuple[meta.Obj, ...]
    actions: tuple[plan.Action, ...]


def claim(view: View, owner: meta.Obj, kind: str, selector: Selector, wanted: Callable[[meta.Obj], bool] = lambda _: True) -> Claims:
    """Objects of `kind` that belong to `owner`, of those that are `wanted` at all."""
    owned, actions = [], []
    matches, leaving, uid = selector.matches, meta.is_deleting(owner), meta.uid(owner)
    for obj in view.by(kind, OWNER, uid):
        reference = meta.controller(obj)
        if reference is None or reference.get("uid") != uid or not wanted(obj):
            continue
        if matches(meta.labels(obj)):
            owned.append(obj)
        elif not leaving:
            actions.append(release(owner, kind, obj))
    adoptions = () if leaving else adopt(view, owner, kind, selector, wanted)
    return Claims((*owned, *(one.body for one in adoptions)), (*actions, *adoptions))


def release(owner: meta.Obj, kind: str, obj: meta.Obj) -> plan.Update:
    return plan.Update(kind=kind, body=_released(obj, owner), why=f"{_named(owner)} no longer selects its labels")


def adopt(view: View, owner: meta.Obj, kind: str, selector: Selector, wanted: Callable[[meta.Obj], bool]) -> Sequence[plan.Update]:
    """The bodies are the objects as they will be owned."""
    return [
        plan.Update(kind=kind, body=_adopted(obj, owner), why=f"{_named(owner)} selects its labels and nobody owns it")
        for obj in view.orphans(kind, meta.namespace(owner), selector)
        if wanted(obj) and not meta.is_deleting(obj)
    ]


def follow(kind: str, owner_kind: str, selector_of: Callable[[meta.Obj], Selector]) -> plan.Follow:
    """Wakes the owner of a changed object, and for an orphan every owner of `kind` that could adopt it."""
    by_owner = plan.owner_key(owner_kind)

    def keys(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
        found = by_owner(view, old, new)
        if new is None or meta.controller(new) is not None:
            return found
        owners = view.by(kind, NAMESPACE, meta.namespace(new))
        return [*found, *(meta.key(owner) for owner in owners if selector_of(owner).matches(meta.labels(new)))]

    return keys


def _adopted(obj: meta.Obj, owner: meta.Obj) -> meta.Obj:
    return meta.put(obj, ("metadata", "ownerReferences"), [*meta.owners(obj), meta.controller_reference(owner)])


def _released(obj: meta.Obj, owner: meta.Obj) -> meta.Obj:
    left = [reference for reference in meta.owners(obj) if reference.get("uid") != meta.uid(owner)]
    if left:
        return meta.put(obj, ("metadata", "ownerReferences"), left)
    return meta.without(obj, ("metadata", "ownerReferences"))


def _named(owner: meta.Obj) -> str:
    return f"{owner['kind']} {meta.name(owner)}"
