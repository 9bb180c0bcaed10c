"""ControllerRevisions: the templates that a StatefulSet or DaemonSet had, numbered.

Upstream: pkg/controller/history. Equal templates share one revision; going back gives the old one the highest number.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.controllers import claims
from reconciler.controllers.templates import Templates
from reconciler.kinds import workload
from reconciler.model import govalue, meta, plan, rawjson
from reconciler.model.view import View

REVISIONS = "controllerrevisions.apps"
NAME_MOST = 223  # characters of the owner's name in a revision's


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How owners of one kind keep their revisions."""

    kind: str
    hash_label: str  # on the revision
    hash: Callable[[meta.Obj, Mapping[str, Any]], str]  # of an owner and the data of its revision
    templates: Templates

    def hash_of(self, revision: meta.Obj) -> str:
        return str(meta.labels(revision).get(self.hash_label, ""))

    def are_same(self, left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
        return left == right or self.templates.are_same(_template(left), _template(right))


def known(view: View, owner: meta.Obj) -> claims.Claims:
    """The owner's revisions, oldest number first."""
    found = claims.claim(view, owner, REVISIONS, workload.selector(owner))
    return claims.Claims(tuple(sorted(found.owned, key=_age)), found.actions)


def present(view: View, keeping: Keeping, owner: meta.Obj, revisions: Sequence[meta.Obj]) -> tuple[meta.Obj, tuple[plan.Action, ...]]:
    """The revision of the owner's template, and what makes it exist with the highest number."""
    data = _data(owner)
    equal = (one for one in reversed(revisions) if one.get("data") == data)
    alike = (one for one in reversed(revisions) if keeping.are_same(one.get("data") or meta.EMPTY, data))
    found = next(itertools.chain(equal, alike), None)
    if found is None:
        made = _made(keeping, owner, data, _number(revisions[-1]) + 1 if revisions else 1)
        other = view.get(REVISIONS, meta.namespace(owner), meta.name(made))
        if other is not None and not keeping.are_same(other.get("data") or meta.EMPTY, data):
            return made, (_collided(keeping.kind, owner),)
        return made, (plan.Create(kind=REVISIONS, body=made, why="its template is new"),)
    if found is revisions[-1]:
        return found, ()
    raised = {**found, "revision": _number(revisions[-1]) + 1}
    return raised, (plan.Update(kind=REVISIONS, body=raised, why="its template is in use again"),)


def _collided(kind: str, owner: meta.Obj) -> plan.Action:
    """The next plan hashes another name; nothing else of this one takes effect, for all is guarded by the owner."""
    body = meta.put(owner, ("status", "collisionCount"), workload.count(owner, "collisionCount") + 1)
    return plan.Update(kind=kind, body=body, subresource="status", why="the name of its revision is taken by another template")


def applied(owner: meta.Obj, revision: meta.Obj) -> meta.Obj:
    """The owner with the template of `revision`."""
    return meta.put(owner, ("spec", "template"), _template(revision.get("data") or meta.EMPTY))


def surplus(revisions: Iterable[meta.Obj], live: Iterable[str], limit: int) -> list[plan.Action]:
    """Deletes the oldest revisions beyond `limit` of those whose names are not `live`."""
    names = set(live)
    dead = [one for one in revisions if meta.name(one) not in names]
    return [
        plan.Delete(
            kind=REVISIONS,
            namespace=meta.namespace(one),
            name=meta.name(one),
            uid=meta.uid(one),
            why=f"revisionHistoryLimit is {limit}",
        )
        for one in dead[: max(0, len(dead) - limit)]
    ]


def limit(owner: meta.Obj) -> int:
    wanted = meta.spec(owner).get("revisionHistoryLimit")
    return workload.HISTORY_LIMIT if wanted is None else int(wanted)


def _data(owner: meta.Obj) -> dict[str, Any]:
    return {"spec": {"template": {**workload.template(owner), "$patch": "replace"}}}


def _template(data: Mapping[str, Any]) -> Mapping[str, Any]:
    template = (data.get("spec") or meta.EMPTY).get("template") or meta.EMPTY
    return {name: value for name, value in template.items() if name != "$patch"}


def _made(keeping: Keeping, owner: meta.Obj, data: Mapping[str, Any], number: int) -> dict[str, Any]:
    hash = keeping.hash(owner, data)
    kept = rawjson.Raw(data, govalue.marshal(data).encode())  # byte for byte, which Kubernetes' DaemonSets look at
    metadata: dict[str, Any] = {
        "name": f"{meta.name(owner)[:NAME_MOST]}-{hash}",
        "namespace": meta.namespace(owner),
        "labels": {**workload.template_labels(owner), keeping.hash_label: hash},
        "ownerReferences": [meta.controller_reference(owner)],
    }
    if meta.annotations(owner):
        metadata["annotations"] = meta.annotations(owner)
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": kept, "revision": number}


def _number(revision: meta.Obj) -> int:
    return int(revision.get("revision") or 0)


def _age(revision: meta.Obj) -> tuple[int, str, str]:
    return _number(revision), str(meta.meta(revision).get("creationTimestamp") or ""), meta.name(revision)
