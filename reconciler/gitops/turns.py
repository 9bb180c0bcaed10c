"""When a document's turn comes: after the waves before its own, and after the objects that it names. Pure.

Two annotations say so: `reconciler.dev/wave`, a number, and `reconciler.dev/depends-on`, objects such as
"Deployment/db, Job/site/migrate", of the folder or not. What nobody has asked to wait waits for nobody.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.gitops.identity import Identity
from reconciler.model import meta
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster

WAVE = "reconciler.dev/wave"
DEPENDS_ON = "reconciler.dev/depends-on"
MAX_NEEDS = 100
_WAVE = re.compile(r"[-+]?[0-9]{1,6}")

Rank = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """`depth` is 1 for what depends on others, 2 for what depends on such, and so on."""

    wave: int = 0
    needs: tuple[Identity, ...] = ()
    depth: int = 0

    @property
    def rank(self) -> Rank:
        """Objects of a lower rank are applied earlier and deleted later."""
        return self.wave, self.depth


AT_ONCE = Turn()


class Unclear(Exception):
    """An annotation cannot be read; `field` is its path, the message for the user."""

    def __init__(self, annotation: str, message: str) -> None:
        super().__init__(message)
        self.field = f"metadata.annotations[{annotation}]"


def of(body: meta.Obj, namespace: str, roster: Roster) -> Turn:
    """What the annotations of an object in `namespace` say, but for its depth. Raises Unclear."""
    wave, needs = (str(meta.annotations(body).get(name, "")) for name in (WAVE, DEPENDS_ON))
    if wave and not _WAVE.fullmatch(wave):
        raise Unclear(WAVE, f"{wave!r} is no wave: write a whole number, such as '1'")
    words = [word.strip() for word in needs.split(",") if word.strip()]
    if len(words) > MAX_NEEDS:
        raise Unclear(DEPENDS_ON, f"{len(words)} objects, at most {MAX_NEEDS} can be waited for")
    return Turn(int(wave or 0), tuple(dict.fromkeys(_need(word, namespace, roster) for word in words))) if wave or words else AT_ONCE


def said(body: meta.Obj, namespace: str, roster: Roster) -> Turn:
    """The same of a live object, where it is too late to complain."""
    try:
        return of(body, namespace, roster)
    except Unclear:
        return AT_ONCE


def deepened(turns: Mapping[Identity, Turn]) -> dict[Identity, Turn]:
    """`turns` with their depths. What is in a circle has that of a beginning."""
    depths: dict[Identity, int] = {}
    for start in turns:
        path = [start]
        while path:
            found = turns.get(path[-1], AT_ONCE)
            ahead = next((one for one in found.needs if one in turns and one not in depths and one not in path), None)
            if ahead is not None:
                path.append(ahead)
                continue
            depths[path.pop()] = 1 + max((depths.get(one, 0) for one in found.needs), default=-1)
    return {identity: Turn(turn.wave, turn.needs, depths[identity]) for identity, turn in turns.items()}


def circle(turns: Mapping[Identity, Turn], start: Identity) -> tuple[Identity, ...]:
    """The way from an object back to itself, empty where it does not depend on itself."""
    came: dict[Identity, Identity] = {}
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for one in turns.get(here, AT_ONCE).needs:
            if one == start:
                return tuple(reversed(list(_back(came, here, start))))
            if one not in came:
                came[one] = here
                waiting.append(one)
    return ()


def _back(came: Mapping[Identity, Identity], here: Identity, start: Identity) -> Iterator[Identity]:
    while here != start:
        yield here
        here = came[here]
    yield start


def _need(word: str, namespace: str, roster: Roster) -> Identity:
    name, *place = word.split("/")
    kind = _kind(name, roster)
    if not name or not 1 <= len(place) <= 2 or not all(place):
        raise Unclear(DEPENDS_ON, f"{word!r} is no object: write KIND/NAME or KIND/NAMESPACE/NAME, such as Deployment/db")
    if kind is None:  # a definition may bring it yet
        return Identity(name, place[0] if len(place) == 2 else namespace, place[-1])
    if not kind.namespaced and len(place) == 2:
        raise Unclear(DEPENDS_ON, f"{word!r}: a {kind.kind} belongs to no namespace: write {name}/{place[1]}")
    return Identity(kind.id, (place[0] if len(place) == 2 else namespace) if kind.namespaced else "", place[-1])


def _kind(name: str, roster: Roster) -> Kind | None:
    """By Kind or Kind.group; of several groups the one that has the shortest name, as the core group's has."""
    word, _, group = name.partition(".")
    found: Sequence[Kind] = [kind for kind in roster if kind.kind == word and not kind.stored_as and group in ("", kind.group)]
    return min(found, key=lambda kind: (len(kind.group), kind.group), default=None)
