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
from typing import Any

from reconciler.gitops import load, marks, review, waves
from reconciler.gitops import sync as syncs
from reconciler.gitops.identity import Identity, title
from reconciler.gitops.intent import Intent, Intents
from reconciler.gitops.wanted import Wanted
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
    warnings: Mapping[Identity, str] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True, slots=True)
class Claims:
    """Which Syncs exist and what each wants; None where nobody knows, so that an object stays with whom it has."""

    syncs: Mapping[str, Callable[[Identity], bool]] | None = None

    def holds(self, sync: str, identity: Identity) -> bool:
        """Whether a Sync that keeps an object has not let go of it."""
        return self.syncs is None or (sync in self.syncs and self.syncs[sync](identity))

    def other(self, sync: str, identity: Identity) -> str:
        """Another Sync that wants an object, "" where there is none."""
        return next((name for name, wants in (self.syncs or {}).items() if name != sync and wants(identity)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What both decisions stand on: `wanted` was resolved with `roster`, and the view holds every kind of it.

    `origin` says where a document comes from: "apps/web.yaml:12 (commit 1a2b3c4d5e6f)". `claims` knows what the
    other Syncs want.
    """

    view: View
    roster: Roster
    wanted: Wanted
    sync: str
    ownership: marks.Ownership
    spec: syncs.Spec = field(default_factory=syncs.Spec)
    accepted: Accepted = field(default_factory=dict)
    claims: Claims = field(default_factory=Claims)
    origin: Callable[[load.Document], str] = lambda document: document.source


def applies(context: Context, identities: Iterable[Identity]) -> Decision:
    """The patches that bring `identities` to what their documents say, in waves."""
    intents = Intents(context.view, context.roster, context.wanted, context.sync, context.spec, context.ownership)
    patches: list[plan.Patch] = []
    reowned: dict[Identity, plan.Patch] = {}
    problems: dict[Identity, Problems] = {}
    waiting: dict[Identity, plan.Waiting] = {}
    warnings: dict[Identity, str] = {}
    for identity in identities:
        document = context.wanted.documents.get(identity)
        if document is None:
            continue
        found = _obstacle(context, identity, document)
        if isinstance(found, plan.Waiting):
            waiting[identity] = found
        elif found:
            problems[identity] = found
        else:
            verdict = _judged(context, identity, document, intents.of(identity, document))
            if verdict.patch is not None:
                patches.append(verdict.patch)
            if verdict.before is not None:
                reowned[identity] = verdict.before
            if verdict.warning:
                warnings[identity] = verdict.warning
    groups: list[tuple[plan.Patch, ...]] = []
    for group in waves.order(patches, context.roster):
        before = tuple(reowned[one] for patch in group if (one := Identity(patch.kind, patch.namespace, patch.name)) in reowned)
        groups += [before, group] if before else [group]
    return Decision(plan.Plan(tuple(groups), waiting_on=tuple(waiting.values())), problems, waiting, warnings)


def prunes(context: Context, unsure: frozenset[str] = frozenset(), closed: tuple[str, ...] = ()) -> Decision:
    """The deletions of our objects that no document mentions; `unsure` and `closed` add to what the folder hides."""
    if not context.wanted.count:
        return Decision()
    unsure = unsure | context.wanted.unsure
    inventory = dict(owned(context.view, context.roster, context.sync))
    homes = {marks.source(obj) for obj in inventory.values()}
    present = {document.home for document in context.wanted.documents.values()} | unsure
    doubt = _Doubt(unsure, closed, unsure - homes, present)
    deletes: dict[Identity, plan.Delete] = {}
    kept: list[Kept] = []
    for identity, obj in inventory.items():
        if identity in context.wanted.documents or identity in context.wanted.disputed or meta.is_deleting(obj):
            continue
        if context.claims.other(context.sync, identity):
            continue  # it is about to be taken over
        why = doubt.about(obj) if context.spec.prune else "the Sync does not prune"
        if why:
            kept.append(Kept(identity, why))
        else:
            gone = f"{marks.source(obj)} no longer defines it"
            deletes[identity] = _deletion(identity, obj, gone)
    limit = context.spec.deletion_limit
    if limit and len(deletes) > limit:
        why = f"{len(deletes)} objects would be deleted, more than the Sync's deletionLimit of {limit}: raise it to allow that"
        kept += [Kept(one, why) for one in deletes]
        deletes = {}
    return Decision(plan.Plan(waves.backwards(deletes, context.view, context.roster)), kept=tuple(kept))


def farewell(context: Context) -> Decision:
    """The deletions of everything that a Sync applied and no other wants, for when it is deleted itself."""
    deletes = {}
    for identity, obj in owned(context.view, context.roster, context.sync):
        is_kept = meta.annotations(obj).get(marks.PRUNE) == "disabled" or context.claims.other(context.sync, identity)
        if not is_kept and not meta.is_deleting(obj):
            deletes[identity] = _deletion(identity, obj, f"Sync {context.sync} is deleted")
    return Decision(plan.Plan(waves.backwards(deletes, context.view, context.roster)))


def _deletion(identity: Identity, obj: meta.Obj, why: str) -> plan.Delete:
    """With what it owns: left to itself, the server orphans the pods of a Job."""
    kind, namespace, name = identity
    return plan.Delete(kind=kind, namespace=namespace, name=name, why=why, uid=meta.uid(obj), propagation="Background")


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
            return f"{home} has problems, or is being written, and may define it still"
        hidden = next((path for path in self.closed if home == path or home.startswith(path.rstrip("/") + "/")), "")
        if hidden:
            return f"{hidden} cannot be read"
        if self.strangers and home not in self.present:
            return (
                f"{home} is gone while {min(self.strangers)} has problems or is being written, which may be the same file under a new name"
            )
        return ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What to do about one document: `before` makes the fields ours, or no more ours, that `patch` needs so."""

    patch: plan.Patch | None = None
    before: plan.Patch | None = None
    warning: str = ""


def _obstacle(context: Context, identity: Identity, document: load.Document) -> plan.Waiting | Problems:
    """Why a document cannot be applied as things are; nothing where it can."""
    kind = context.roster[identity.kind]
    live = context.view.get(*identity)
    if live is None and (absent := _absent_namespace(context, identity)):
        return (document.problem(absent, "metadata.namespace"),)
    if live is not None and meta.is_deleting(live):
        return plan.Waiting(f"{title(context.roster, identity)} to be deleted, so that it can be created anew")
    if live is not None and (rival := _rival(context, identity, live)):
        return (document.problem(f"{title(context.roster, identity)} belongs to Sync {rival}: remove one of the two", "metadata.name"),)
    if document.body["apiVersion"] != kind.api_version():
        return review.misfits(document, kind, context.ownership.schemas)
    return ()


def _judged(context: Context, identity: Identity, document: load.Document, intent: Intent) -> _Verdict:
    live = context.view.get(*identity)
    why, is_drift = _difference(context, identity, document, intent, live)
    if not why:
        return _Verdict(warning=intent.warning)
    if is_drift and context.spec.drift != "fix":
        warning = f"{title(context.roster, identity)} ({document.source}): {why}, and is left so"
        return _Verdict(warning=warning if context.spec.drift == "warn" else intent.warning)
    patch = plan.Patch(
        kind=identity.kind,
        namespace=identity.namespace,
        name=identity.name,
        type="apply",
        patch=intent.body,
        why=why,
        force=context.spec.drift == "fix",
        manager=marks.MANAGER,
        source=context.origin(document),
    )
    entries = marks.reowned(live, intent.given_up) if live is not None else None
    return _Verdict(patch, _reowning(identity, live, entries) if live is not None and entries is not None else None, intent.warning)


def _reowning(identity: Identity, live: meta.Obj, entries: list[dict[str, Any]]) -> plan.Patch:
    return plan.Patch(
        kind=identity.kind,
        namespace=identity.namespace,
        name=identity.name,
        type="json",
        patch=[{"op": "replace", "path": "/metadata/managedFields", "value": entries}],
        why="gives up fields" if marks.owned(live) is not None else "takes over what kubectl applied",
        uid=meta.uid(live),
        resource_version=meta.resource_version(live),
        manager=marks.MANAGER,
    )


def _absent_namespace(context: Context, identity: Identity) -> str:
    name = identity.namespace
    if not name or context.view.get(NAMESPACES, "", name) is not None or Identity(NAMESPACES, "", name) in context.wanted.documents:
        return ""
    return f"namespace {name} does not exist: add a Namespace document or correct the name"


def _rival(context: Context, identity: Identity, live: meta.Obj) -> str:
    """Another Sync that keeps the object and has not let go of it, with the file that defines it there."""
    other = meta.labels(live).get(marks.SYNC, "")
    if not other or other == context.sync or not marks.is_ours(live, other) or not context.claims.holds(other, identity):
        return ""
    return f"{other} ({marks.source(live)})"


def _difference(context: Context, identity: Identity, document: load.Document, intent: Intent, live: meta.Obj | None) -> tuple[str, bool]:
    """Why the document must be applied, "" if it need not be; and whether somebody else is the cause."""
    digest, settled = context.accepted.get(identity, ("", fields.NONE))
    if live is None:
        is_drift = digest == intent.digest
        return ("drift: somebody deleted it, " if is_drift else "") + f"{document.source} defines it", is_drift
    ours = marks.owned(live)
    if ours is None:
        return f"{document.source} defines it, taken over as it existed already", False
    annotations = meta.annotations(live)
    if meta.labels(live).get(marks.SYNC, context.sync) != context.sync:
        return f"{document.source} defines it, taken over from Sync {meta.labels(live)[marks.SYNC]}", False
    if marks.DIGEST not in annotations or marks.SOURCE not in annotations:
        return "drift: somebody removed our annotations", True
    if annotations[marks.DIGEST] != intent.digest:
        return f"{document.source} changed", False
    if annotations[marks.SOURCE] != document.home:
        return f"moved from {marks.source(live)} to {document.home}", False
    if digest == intent.digest and settled == ours:
        return "", False
    expected = settled if digest == intent.digest else context.ownership.expected(intent.body, context.roster[identity.kind])
    return ("", False) if expected == ours else (_drift(live, fields.difference(expected, ours)), True)


def _drift(live: meta.Obj, lost: fields.Fields) -> str:
    if not lost:
        return "drift: fields were added under our name"
    names = [fields.shown(path).lstrip(".") for path in fields.paths(lost)]
    more = f" and {len(names) - MAX_FIELDS} more" if len(names) > MAX_FIELDS else ""
    who = " and ".join(marks.takers(live, lost)) or "somebody"
    return f"drift: {who} changed {', '.join(names[:MAX_FIELDS])}{more}"
