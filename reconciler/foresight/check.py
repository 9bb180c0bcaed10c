"""What can be said of a folder without a server: its documents, and every problem in them with its place.

The same reading, resolving and reviewing as the folder's agent does; nothing is started or written. What depends on
what a server has (namespaces and definitions that are not in the folder, admission, immutable fields) is not known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler import kinds
from reconciler.gitops import folder, load, review, sync, wanted
from reconciler.kinds import customresourcedefinition_kind
from reconciler.kit import definitions
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster
from reconciler.model.schema import Schemas


@dataclass(frozen=True, slots=True)
class Found:
    documents: int
    problems: tuple[load.Problem, ...]


def read(path: Path) -> wanted.Wanted:
    """The objects that a folder wants, and the problems of files and of documents as a whole."""
    return wanted.Resolver(_roster()).resolve(files(path))


def check(path: Path) -> Found:
    """Every problem of a folder, down to single fields, ordered by place; its own definitions are taken into account."""
    found = files(path)
    schemas = Schemas(definitions.load(), definitions.shapes())
    resolved = wanted.Resolver(_roster()).resolve(found)
    defined = list(_defined(resolved, schemas))
    roster = _roster().with_kinds(defined)
    if defined:
        resolved = wanted.Resolver(roster).resolve(found)
    problems = set(resolved.problems)
    for identity, document in resolved.documents.items():
        problems.update(review.review(document, _kind(roster, document), schemas, identity.namespace))
    return Found(resolved.count, tuple(sorted(problems)))


def _defined(resolved: wanted.Wanted, schemas: Schemas) -> Iterator[Kind]:
    """The kinds that the definitions in the folder bring, as if they were established."""
    for identity, document in resolved.documents.items():
        if identity.kind == wanted.DEFINITIONS:
            kind = _kind(_roster(), document)
            if not review.review(document, kind, schemas):
                names = document.body["spec"]["names"]
                yield customresourcedefinition_kind.kind_of({**kind.hub_version.default(document.body), "status": {"acceptedNames": names}})


def _kind(roster: Roster, document: load.Document) -> Kind:
    kind = roster.of_object(document.body["apiVersion"], document.body["kind"])
    assert kind is not None, "a resolved document has a kind"
    return kind


def _roster() -> Roster:
    return kinds.builtin().with_kinds([sync.KIND])


def files(path: Path) -> list[load.File]:
    """What each file of a folder says, and each directory that is a kustomization."""
    scan = folder.Folder(path).scan()
    if scan.missing or scan.unreadable:
        return [load.refused(str(path), scan.unreadable or "does not exist")]
    return [file for _, file in sorted(scan.files.items())]
