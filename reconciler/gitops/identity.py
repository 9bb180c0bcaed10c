"""Which object: what stays the same when its document moves, its file is renamed or its version changes. Pure."""

from typing import NamedTuple

from reconciler.model.roster import Roster


class Identity(NamedTuple):
    kind: str  # Kind.id
    namespace: str  # "" for a cluster-wide one
    name: str


def title(roster: Roster, identity: Identity) -> str:
    """An object as people name it: "Deployment default/web"."""
    kind = roster.get(identity.kind)
    path = f"{identity.namespace}/{identity.name}" if identity.namespace else identity.name
    return f"{kind.kind if kind else identity.kind} {path}"
