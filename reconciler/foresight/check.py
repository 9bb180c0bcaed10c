"""What can be said of a folder without a server: its documents, and every problem in them with its place.

The same reading, resolving and reviewing as the folder's agent does; nothing is started or written. What depends on
what a server has (namespaces and definitions that are not in the folder, admission, immutable fields) is not known.
"""

from dataclasses import dataclass
from pathlib import Path

from reconciler import kinds
from reconciler.gitops import folder, load, review, sync, wanted
from reconciler.kit import definitions
from reconciler.model.roster import Roster
from reconciler.model.schema import Schemas


@dataclass(frozen=True, slots=True)
class Found:
    documents: int
    problems: tuple[load.Problem, ...]


def read(path: Path) -> wanted.Wanted:
    """The objects that a folder wants, and the problems of files and of documents as a whole."""
    return wanted.Resolver(_roster()).resolve(_files(path))


def check(path: Path) -> Found:
    """Every problem of a folder, down to single fields, ordered by place."""
    roster = _roster()
    schemas = Schemas(definitions.load(), definitions.shapes())
    resolved = wanted.Resolver(roster).resolve(_files(path))
    problems = set(resolved.problems)
    for identity, document in resolved.documents.items():
        kind = roster.of_object(document.body["apiVersion"], document.body["kind"])
        if kind is not None:
            problems.update(review.review(document, kind, schemas, identity.namespace))
    return Found(resolved.count, tuple(sorted(problems)))


def _roster() -> Roster:
    return kinds.builtin().with_kinds([sync.KIND])


def _files(path: Path) -> list[load.File]:
    scan = folder.Folder(path).scan()
    if scan.missing or scan.unreadable:
        return [load.refused(str(path), scan.unreadable or "does not exist")]
    return list(scan.files.values())
