"""ControllerRevisions: the templates that a StatefulSet or DaemonSet had, numbered.

Upstream: pkg/controller/history. Equal templates share one revision; going back gives the old one the highest number.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.controllers import claims
from reconciler.kinds import workload
from reconciler.kit import ids
from reconciler.model import meta, plan
from reconciler.model.view import View

REVISIONS = "controllerrevisions.apps"


def known(view: View, owner: meta.Obj) -> claims.Claims:
    """The owner's revisions, oldest number first."""
    found = claims.claim(view, owner, REVISIONS, workload.selector(owner))
    return claims.Claims(tuple(sorted(found.owned, key=_age)), found.actions)


def present(
    view: View, kind: str, owner: meta.Obj, revisions: Sequence[meta.Obj], hash_label: str
) -> tuple[meta.Obj, tuple[plan.Action, ...]]:
    """The revision of the template of an owner of `kind`, and what makes it exist with the highest number."""
    data = _data(owner)
    equal = [one for one in revisions if one.get("data") == data]
    if not equal:
        made = _made(kind, owner, data, _number(revisions[-1]) + 1 if revisions else 1, hash_label)
        other = view.get(REVISIONS, meta.namespace(owner), meta.name(made))
        if other is not None and other.get("data") != data:
            return made, (_collided(kind, owner),)
        return made, (plan.Create(kind=REVISIONS, body=made, why="its template is new"),)
    newest = equal[-1]
    if newest is revisions[-1]:
        return newest, ()
    raised = {**newest, "revision": _number(revisions[-1]) + 1}
    return raised, (plan.Update(kind=REVISIONS, body=raised, why="its template is in use again"),)


def _collided(kind: str, owner: meta.Obj) -> plan.Action:
    """The next plan hashes another name; nothing else of this one takes effect, for all is guarded by the owner."""
    body = meta.put(owner, ("status", "collisionCount"), workload.count(owner, "collisionCount") + 1)
    return plan.Update(kind=kind, body=body, subresource="status", why="the name of its revision is taken by another template")


def applied(owner: meta.Obj, revision: meta.Obj) -> meta.Obj:
    """The owner with the template of `revision`."""
    template = ((revision.get("data") or meta.EMPTY).get("spec") or meta.EMPTY).get("template") or meta.EMPTY
    return meta.put(owner, ("spec", "template"), {name: value for name, value in template.items() if name != "$patch"})


def hash_of(revision: meta.Obj, hash_label: str) -> str:
    return str(meta.labels(revision).get(hash_label, ""))


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


def _made(kind: str, owner: meta.Obj, data: Mapping[str, Any], number: int, hash_label: str) -> dict[str, Any]:
    collisions = workload.count(owner, "collisionCount")
    hash = ids.hash_of(kind, json.dumps(data, sort_keys=True, separators=(",", ":")), collisions)
    metadata: dict[str, Any] = {
        "name": f"{meta.name(owner)}-{hash}",
        "namespace": meta.namespace(owner),
        "labels": {**workload.template_labels(owner), hash_label: hash},
        "ownerReferences": [meta.controller_reference(owner)],
    }
    if meta.annotations(owner):
        metadata["annotations"] = meta.annotations(owner)
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": data, "revision": number}


def _number(revision: meta.Obj) -> int:
    return int(revision.get("revision") or 0)


def _age(revision: meta.Obj) -> tuple[int, str, str]:
    return _number(revision), str(meta.meta(revision).get("creationTimestamp") or ""), meta.name(revision)
