"""What must change so that the cluster is what the folder wants. Pure.

`applies` compares documents with live objects and returns the apply patches; `prunes`, asked when those are done,
returns the deletions of what the folder no longer mentions. Both look only at what they must: `applies` at the
identities it is given, `prunes` at the objects that carry our marks (marks.py).

An identity decides, not a place: a document that moved to another file is applied there and never recreated. What is
not sure to be unwanted is not pruned: objects of a file with any problem, of a directory that cannot be listed, of a
vanished file while a new one is broken (it may be the same, renamed), and everything when the folder has no document
at all. Whether the folder is there in the first place is the caller's to know.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.gitops import load, marks, review, waves
from reconciler.gitops.wanted import Identity, Wanted, title
from reconciler.model import meta, plan, selectors
from reconciler.model.apply import fields
from reconciler.model.roster import Roster
from reconciler.model.view import NAMESPACE, View

MAX_FIELDS = 3  # named in a reason
NAMESPACES = waves.NAMESPACES

Problems = tuple[load.Problem, ...]
Accepted = Mapping[Identity, tuple[str, fields.Fields]]  # digest -> what the server then said we own


@dataclass(frozen=True, slots=True)
class Kept:
    """An object that the folder does not mention and that is not deleted, and why."""

    identity: Identity
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    todo: plan.Plan = plan.NOTHING
    problems: Mapping[Identity, Problems] = field(default_factory=dict)  # documents that cannot be applied as things are
    waiting: Mapping[Identity, plan.Waiting] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What both decisions stand on: `wanted` was resolved with `roster`, and the view holds every kind of it.

    `origin` says where a document comes from: "apps/web.yaml:12 (commit 1a2b3c4d5e6f)".
    """

    view: View
    roster: Roster
    wanted: Wanted
    sync: str
    ownership: marks.Ownership
    accepted: Accepted = field(default_factory=dict)
    origin: Callable[[load.Document], str] = lambda document: document.source


def applies(context: Context, identities: Iterable[Identity]) -> Decision:
    """The patches that bring `identities` to what their documents say, in waves."""
    patches: list[plan.Patch] = []
    problems: dict[Identity, Problems] = {}
    waiting: dict[Identity, plan.Waiting] = {}
    for identity in identities:
        document = context.wanted.documents.get(identity)
        if document is None:
            continue
        found = _apply(context, identity, document)
        match found:
            case plan.Patch():
                patches.append(found)
            case plan.Waiting():
                waiting[identity] = found
            case tuple():
                problems[identity] = found
    todo = plan.Plan(waves.order(patches, context.roster), waiting_on=tuple(waiting.values()))
    return Decision(todo, problems, waiting)


def prunes(context: Context, unsure: frozenset[str] = frozenset(), closed: tuple[str, ...] = ()) -> Decision:
    """The deletions of our objects that no document mentions; `unsure` and `closed` add to what the folder hides."""
    if not context.wanted.count:
        return Decision()
    unsure = unsure | context.wanted.unsure
    inventory = dict(owned(context.view, context.roster, context.sync))
    homes = {marks.source(obj) for obj in inventory.values()}
    present = {document.home for document in context.wanted.documents.values()} | unsure
    doubt = _Doubt(unsure, closed, unsure - homes, present)
    deletes: list[plan.Delete] = []
    kept: list[Kept] = []
    for identity, obj in inventory.items():
        if identity in context.wanted.documents or identity in context.wanted.disputed or meta.is_deleting(obj):
            continue
        why = doubt.about(obj)
        if why:
            kept.append(Kept(identity, why))
        else:
            gone = f"{marks.source(obj)} no longer defines it"
            uid = meta.uid(obj)
            deletes.append(plan.Delete(kind=identity.kind, namespace=identity.namespace, name=identity.name, why=gone, uid=uid))
    return Decision(plan.Plan(waves.backwards(deletes, context.roster)), kept=tuple(kept))


def owned(view: View, roster: Roster, sync: str) -> Iterator[tuple[Identity, meta.Obj]]:
    """Every live object that the Sync keeps, through the label index."""
    selector = selectors.from_labels({marks.SYNC: sync})
    namespaces = [meta.name(namespace) for namespace in view.by(NAMESPACES, NAMESPACE, "")]
    for kind in roster:
        if kind.stored_as or not {"list", "watch", "delete"} <= set(kind.verbs):
            continue
        for namespace in namespaces if kind.namespaced else [""]:
            for obj in view.select(kind.id, namespace, selector):
                if marks.is_ours(obj, sync):
                    yield Identity(kind.id, *meta.key(obj)), obj


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Why an object whose document is gone may be wanted still."""

    unsure: frozenset[str]
    closed: tuple[str, ...]
    strangers: frozenset[str]  # files with problems that hold nothing we know
    present: frozenset[str] | set[str]

    def about(self, obj: meta.Obj) -> str:
        home = marks.source(obj)
        if meta.annotations(obj).get(marks.PRUNE) == "disabled":
            return f"its annotation {marks.PRUNE} is disabled"
        if home in self.unsure:
            return f"{home} has problems and may define it still"
        hidden = next((path for path in self.closed if home == path or home.startswith(path.rstrip("/") + "/")), "")
        if hidden:
            return f"{hidden} cannot be read"
        if self.strangers and home not in self.present:
            return f"{home} is gone while {min(self.strangers)} has problems, which may be the same file under a new name"
        return ""


def _apply(context: Context, identity: Identity, document: load.Document) -> plan.Patch | plan.Waiting | Problems | None:
    view = context.view
    kind = context.roster[identity.kind]
    live = view.get(identity.kind, identity.namespace, identity.name)
    if live is None and (absent := _absent_namespace(context, identity)):
        return (document.problem(absent, "metadata.namespace"),)
    if live is not None and meta.is_deleting(live):
        return plan.Waiting(f"{title(context.roster, identity)} to be deleted, so that it can be created anew")
    if live is not None and (rival := _rival(live, context.sync)):
        return (document.problem(f"{title(context.roster, identity)} belongs to Sync {rival}: remove one of the two", "metadata.name"),)
    if document.body["apiVersion"] != kind.api_version() and (found := review.misfits(document, kind, context.ownership.schemas)):
        return found
    body = marks.marked(document, kind, identity.namespace, context.sync)
    why = _difference(context, identity, document, body, live)
    if not why:
        return None
    return plan.Patch(
        kind=identity.kind,
        namespace=identity.namespace,
        name=identity.name,
        type="apply",
        patch=body,
        why=why,
        force=True,
        manager=marks.MANAGER,
        source=context.origin(document),
    )


def _absent_namespace(context: Context, identity: Identity) -> str:
    name = identity.namespace
    if not name or context.view.get(NAMESPACES, "", name) is not None or Identity(NAMESPACES, "", name) in context.wanted.documents:
        return ""
    return f"namespace {name} does not exist: add a Namespace document or correct the name"


def _rival(live: meta.Obj, sync: str) -> str:
    """Another Sync that keeps the object, with the file that defines it there."""
    other = meta.labels(live).get(marks.SYNC, "")
    return f"{other} ({marks.source(live)})" if other and other != sync and marks.is_ours(live, other) else ""


def _difference(context: Context, identity: Identity, document: load.Document, body: meta.Obj, live: meta.Obj | None) -> str:
    """Why the document must be applied, "" if it need not be."""
    if live is None:
        return f"{document.source} defines it"
    ours = marks.owned(live)
    if ours is None:
        return f"{document.source} defines it, taken over as it existed already"
    annotations = meta.annotations(live)
    if marks.DIGEST not in annotations or marks.SOURCE not in annotations:
        return "drift: somebody removed our annotations"
    if annotations[marks.DIGEST] != document.digest:
        return f"{document.source} changed"
    if annotations[marks.SOURCE] != document.home:
        return f"moved from {marks.source(live)} to {document.home}"
    digest, settled = context.accepted.get(identity, ("", fields.NONE))
    if digest == document.digest and settled == ours:
        return ""
    expected = settled if digest == document.digest else context.ownership.expected(body, context.roster[identity.kind])
    return "" if expected == ours else _drift(live, fields.difference(expected, ours))


def _drift(live: meta.Obj, lost: fields.Fields) -> str:
    if not lost:
        return "drift: fields were added under our name"
    names = [fields.shown(path).lstrip(".") for path in fields.paths(lost)]
    more = f" and {len(names) - MAX_FIELDS} more" if len(names) > MAX_FIELDS else ""
    who = " and ".join(marks.takers(live, lost)) or "somebody"
    return f"drift: {who} changed {', '.join(names[:MAX_FIELDS])}{more}"
