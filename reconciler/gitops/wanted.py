"""What the folder wants: one document per object, and everything that keeps a document from meaning one.

Pure. A Resolver turns the files into a Wanted: kinds are looked up, namespaces filled in, two documents for one object
refused both. A file with a problem is `unsure`: what it once defined may be meant still, so nothing that came from it
is ever pruned.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.gitops import load, sync, turns
from reconciler.gitops.identity import Identity, title
from reconciler.model import meta
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
AUTOSCALERS = "horizontalpodautoscalers.autoscaling"


@dataclass(frozen=True, slots=True)
class Wanted:
    documents: Mapping[Identity, load.Document] = field(default_factory=dict)
    disputed: frozenset[Identity] = frozenset()  # defined more than once: neither applied nor pruned
    problems: tuple[load.Problem, ...] = ()
    undefined: tuple[load.Document, ...] = ()  # of a kind that a definition in the folder will bring
    unsure: frozenset[str] = frozenset()  # files
    autoscalers: tuple[Identity, ...] = ()
    later: Mapping[Identity, turns.Turn] = field(default_factory=dict)  # of those that are not to be applied at once
    strangers: frozenset[Identity] = frozenset()  # what documents depend on and the folder does not hold

    @property
    def count(self) -> int:
        """Documents that were understood, applicable or not."""
        return len(self.documents) + len(self.undefined) + len(self.disputed)

    def turn(self, identity: Identity) -> turns.Turn:
        return self.later.get(identity, turns.AT_ONCE)


class Resolver:
    """Turns files into a Wanted. `target`, where given, is the namespace of everything that has one.

    An unchanged file is not looked into again.
    """

    def __init__(self, roster: Roster, target: str = "") -> None:
        self.roster = roster
        self.target = target
        self._known: dict[str, _Resolved] = {}

    def resolve(self, files: Iterable[load.File]) -> Wanted:
        """The objects that `files` want, every file of a folder."""
        known: dict[str, _Resolved] = {}
        for file in files:
            before = self._known.get(file.path)
            known[file.path] = before if before is not None and before.file is file else self._file(file)
        self._known = known
        documents: dict[Identity, load.Document] = {}
        disputed: dict[Identity, list[load.Document]] = {}
        for one in known.values():
            for identity, document in one.documents:
                first = documents.setdefault(identity, document)
                if first is not document:
                    disputed.setdefault(identity, [first]).append(document)
        for identity in disputed:
            del documents[identity]
        return self._judged(documents, disputed, known.values())

    def _judged(
        self,
        documents: dict[Identity, load.Document],
        disputed: Mapping[Identity, list[load.Document]],
        resolved: Collection["_Resolved"],
    ) -> Wanted:
        problems = {problem for one in resolved for problem in one.problems}
        for identity, found in disputed.items():
            problems.update(_dispute(identity, found))
        unknown = [document for one in resolved for document in one.unknown]
        promised = _promised(documents) if unknown else set()
        problems.update(_unknown_kind(document, self.roster) for document in unknown if _type(document) not in promised)
        undefined = tuple(document for document in unknown if _type(document) in promised)
        unsure = {problem.path for problem in problems} | {document.home for document in undefined}
        unsure |= {one.file.path for one in resolved if one.problems or one.unknown}
        unsure |= {document.home for found in disputed.values() for document in found}
        scalers = tuple(identity for one in resolved for identity in one.autoscalers if identity in documents)
        found_turns = turns.deepened({identity: turn for one in resolved for identity, turn in one.later if identity in documents})
        for identity, turn in found_turns.items():
            if turn.needs and (way := turns.circle(found_turns, identity)):
                problems.add(_circle(documents[identity], [title(self.roster, one) for one in way]))
        strangers = frozenset(need for turn in found_turns.values() for need in turn.needs if need not in documents)
        return Wanted(
            documents, frozenset(disputed), tuple(sorted(problems)), undefined, frozenset(unsure), scalers, found_turns, strangers
        )

    def _file(self, file: load.File) -> "_Resolved":
        problems = list(file.problems)
        documents: list[tuple[Identity, load.Document]] = []
        unknown: list[load.Document] = []
        found_turns: list[tuple[Identity, turns.Turn]] = []
        for document in file.documents:
            kind = self.roster.of_object(document.body["apiVersion"], document.body["kind"])
            if kind is None:
                unknown.append(document)
            elif problem := _misplaced(kind, document):
                problems.append(problem)
            else:
                identity = _identity(kind, document, self.target)
                try:
                    turn = turns.of(document.body, identity.namespace or "default", self.roster)
                except turns.Unclear as unclear:
                    problems.append(document.problem(str(unclear), unclear.field))
                    continue
                documents.append((identity, document))
                if turn is not turns.AT_ONCE:
                    found_turns.append((identity, turn))
        scalers = tuple(identity for identity, _ in documents if identity.kind == AUTOSCALERS)
        return _Resolved(file, tuple(documents), tuple(problems), tuple(unknown), scalers, tuple(found_turns))


@dataclass(frozen=True, slots=True)
class _Resolved:
    """What one file comes to by itself."""

    file: load.File
    documents: tuple[tuple[Identity, load.Document], ...]
    problems: tuple[load.Problem, ...]
    unknown: tuple[load.Document, ...]
    autoscalers: tuple[Identity, ...]
    later: tuple[tuple[Identity, turns.Turn], ...]


def _identity(kind: Kind, document: load.Document, target: str) -> Identity:
    namespace = target or meta.namespace(document.body) or "default"
    return Identity(kind.id, namespace if kind.namespaced else "", meta.name(document.body))


def _misplaced(kind: Kind, document: load.Document) -> load.Problem | None:
    if not {"create", "patch", "list", "watch"} <= set(kind.verbs):
        return document.problem(f"a {kind.kind} is a question to the server, not an object that it keeps", "kind")
    if kind.stored_as:
        return document.problem(f"write this {kind.kind} in the version that is stored, of {kind.stored_as}", "apiVersion")
    if not kind.namespaced and meta.namespace(document.body):
        return document.problem(f"a {kind.kind} belongs to no namespace: remove this", "metadata.namespace")
    return None


def _dispute(identity: Identity, found: list[load.Document]) -> Iterable[load.Problem]:
    for document in found:
        others = load.places([other for other in found if other is not document])
        where = f"{identity.namespace}/{identity.name}" if identity.namespace else identity.name
        what = f"{document.body['kind']} {where} is also defined at {others}"
        yield document.problem(f"{what}: keep one; until then neither is applied", "metadata.name")


def _circle(document: load.Document, way: list[str]) -> load.Problem:
    through = f" by way of {', '.join(way[1:])}" if len(way) > 1 else ""
    return document.problem(f"{way[0]} depends on itself{through}: it would wait for ever", f"metadata.annotations[{turns.DEPENDS_ON}]")


def _type(document: load.Document) -> tuple[str, str]:
    return document.body["apiVersion"], document.body["kind"]


def _promised(documents: Mapping[Identity, load.Document]) -> set[tuple[str, str]]:
    """(apiVersion, kind) of every custom resource that a definition in the folder describes."""
    promised = {(sync.KIND.api_version(), sync.KIND.kind)}  # which whoever follows a folder defines
    for identity, document in documents.items():
        spec = document.body.get("spec")
        if identity.kind != DEFINITIONS or not isinstance(spec, Mapping):
            continue
        names: Any = spec.get("names")
        versions: Any = spec.get("versions")
        if isinstance(names, Mapping) and isinstance(versions, list):
            promised |= {(f"{spec.get('group')}/{one.get('name')}", str(names.get("kind"))) for one in versions if isinstance(one, Mapping)}
    return promised


def _unknown_kind(document: load.Document, roster: Roster) -> load.Problem:
    api_version, name = _type(document)
    versions = sorted({kind.api_version(one.name) for kind in roster if kind.kind == name for one in kind.versions if one.served})
    if versions:
        return document.problem(f"{name} is not in {api_version}: write {' or '.join(versions)}", "apiVersion")
    alike = sorted({kind.kind for kind in roster if kind.kind.lower() == name.lower()})
    if alike:
        return document.problem(f"there is no kind {name}: write {alike[0]}", "kind")
    return document.problem(f"there is no kind {name} in {api_version}: correct it, or apply its CustomResourceDefinition", "kind")
