"""One record per kind. Routes, discovery, OpenAPI, tables, GitOps order and health are derived from it.

A file in kinds/ exports one as KIND (or a close family as KINDS). Everything in a record is data or a pure
function; objects are in the hub version's wire form unless said otherwise. The record deliberately knows nothing
of HTTP, storage or who reads it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from reconciler.model import meta
from reconciler.model.conversion import Conversions
from reconciler.model.errors import FieldError

# Errors and warnings of an object in a version's own form: (object, old, subresource) -> (errors, warnings).
ValidateForm = Callable[[meta.Obj, meta.Obj | None, str], tuple[Sequence[FieldError], Sequence[str]]]
HealthState = Literal["Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"]


def identity(obj: meta.Obj) -> meta.Obj:
    return obj


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One served form. `schema` names a definition (kit/definitions.py) or is an OpenAPI v3 schema itself."""

    name: str  # "v1"
    schema: str | Mapping[str, Any]
    default: Callable[[meta.Obj], meta.Obj] = identity  # in this version's form; idempotent; on create, update and read
    to_hub: Callable[[meta.Obj], meta.Obj] = identity
    from_hub: Callable[[meta.Obj], meta.Obj] = identity
    served: bool = True
    deprecation: str = ""  # text of the Warning header, empty when not deprecated
    # Of custom resources only, which have no definition of ours to be decoded by: what drops unknown fields and
    # names them, and what the version's own schema refuses.
    prune: Callable[[meta.Obj], tuple[meta.Obj, Sequence[str]]] | None = None
    validate: ValidateForm | None = None
    # Fields of the Kind that differ in this version: of custom resources columns, subresources, selectable fields.
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A printer column. `cell` gets the object and the wall time in seconds, and returns a JSON scalar.

    A description "@spec.replicas" stands for what the schema says of that field (model/schema.py: described).
    """

    name: str
    cell: Callable[[meta.Obj, float], Any]
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0  # 0 always, 1 with -o wide


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """`status`, `scale`, `log`, ... `kind` is the kind that its bodies have, as discovery says it."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""  # group and version of `kind` where they differ from the parent's
    # Of a scale: where the parent keeps replicas, and its selector as text ("" in a path means: it keeps none).
    replicas_path: tuple[str, ...] = ("spec", "replicas")
    status_replicas_path: tuple[str, ...] = ("status", "replicas")
    selector_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    state: HealthState
    message: str = ""


def healthy(_: meta.Obj) -> Health:
    return Health("Healthy")


def nothing_to_validate(_: meta.Obj, __: meta.Obj | None) -> Iterable[FieldError]:
    return ()


def keep(new: meta.Obj, _: meta.Obj | None) -> meta.Obj:
    return new


def never_volatile(_: meta.Obj | None, __: meta.Obj) -> bool:
    return False


def no_warnings(_: meta.Obj, __: meta.Obj | None) -> Iterable[str]:
    return ()


def no_conditions(_: meta.Obj) -> Iterable[Mapping[str, str]]:
    return ()


CRUD = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Names, versions and rules of one kind.

    The order in which a write uses the rules: default (version) -> to_hub -> prepare -> validate -> store.
    """

    group: str  # "" is core
    kind: str  # "Deployment"
    plural: str  # "deployments"
    singular: str  # "deployment"
    list_kind: str = ""  # "" means kind + "List"
    called: str = ""  # in "not found", where that is not the plural
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    versions: tuple[Version, ...]  # in order of preference; the one named `hub` is stored
    hub: str = ""  # "" is the first
    verbs: tuple[str, ...] = CRUD
    subresources: tuple[Subresource, ...] = ()
    # Kubernetes' strategy: what create (old is None) and update may not set, drop or must carry over, such as
    # status on the main resource; generation is bumped by the server when `spec_of` changes.
    prepare: Callable[[meta.Obj, meta.Obj | None], meta.Obj] = keep
    prepare_status: Callable[[meta.Obj, meta.Obj | None], meta.Obj] = keep
    # Beyond what the schema says; with `old` also the update rules (immutable fields).
    validate: Callable[[meta.Obj, meta.Obj | None], Iterable[FieldError]] = nothing_to_validate
    validate_status: Callable[[meta.Obj, meta.Obj | None], Iterable[FieldError]] = nothing_to_validate
    # Of subresources that have the kind's own shape and rules other than those of its status.
    validate_others: Mapping[str, Callable[[meta.Obj, meta.Obj | None], Iterable[FieldError]]] = field(default_factory=dict)
    stamps_conditions: bool = False  # the server dates conditions that come without times
    warn: Callable[[meta.Obj, meta.Obj | None], Iterable[str]] = no_warnings
    has_generation: bool = False
    generation_grows: bool = True  # with every change of the spec
    columns: tuple[Column, ...] = ()
    row_conditions: Callable[[meta.Obj], Iterable[Mapping[str, str]]] = no_conditions  # of a Table's row
    selectable_fields: Mapping[str, Callable[[meta.Obj], str]] = field(default_factory=dict)  # beside metadata.name/namespace
    name_rule: Literal["subdomain", "label", "label1035", "path", "rbac", "ip", "subdomain_in_bytes"] = "subdomain"
    graceful_seconds: Callable[[meta.Obj], int | None] | None = None  # pods: the grace a DELETE without one gets; None: none is possible
    # How the kind's own rules look at the metadata of an update: as of a new object, at what changed, both or not.
    metadata_on_update: Literal["both", "whole", "changes", "none"] = "both"
    standard_finalizers: bool = True  # a finalizer without a domain must be one that Kubernetes knows
    records_requestor: bool = False  # who creates an object is written into its spec: username, uid, groups, extra
    create_on_update: bool = False  # PUT of an absent object creates it (leases, events, endpoints, ...)
    unconditional_update: bool = True  # PUT without resourceVersion is allowed
    volatile: Callable[[meta.Obj | None, meta.Obj], bool] = never_volatile  # (old, new): measurement, not state
    health: Callable[[meta.Obj], Health] = healthy
    order: int = 50  # GitOps wave: smaller is applied earlier, deleted later
    custom: bool = False  # made by a CustomResourceDefinition
    conversions: Conversions | None = None  # of custom resources whose versions a webhook converts
    # The Kind.id whose objects these are, where two groups serve one stored kind (events.k8s.io: "events"). Then
    # to_hub and from_hub convert to and from that kind's hub form, and every other rule here works on it too.
    stored_as: str = ""

    @cached_property
    def id(self) -> str:
        """Kubernetes' GroupResource, such as "pods" or "deployments.apps": the name used everywhere in code."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def storage_id(self) -> str:
        """The Kind.id under which objects are stored, watched and cached."""
        return self.stored_as or self.id

    @property
    def stored_group(self) -> str:
        """The group that refusals of its objects name."""
        return self.storage_id.partition(".")[2]

    @cached_property
    def hub_version(self) -> Version:
        return self.version(self.hub) if self.hub else self.versions[0]

    def version(self, name: str) -> Version:
        return next(version for version in self.versions if version.name == name)

    def api_version(self, version: str = "") -> str:
        version = version or self.hub_version.name
        return f"{self.group}/{version}" if self.group else version

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)

    @property
    def list_name(self) -> str:
        return self.list_kind or self.kind + "List"


STATUS_VERBS: Sequence[str] = ("get", "patch", "update")


def status_of(kind: str) -> Subresource:
    return Subresource(name="status", kind=kind, verbs=tuple(STATUS_VERBS))


def scale() -> Subresource:
    return Subresource(name="scale", kind="Scale", verbs=tuple(STATUS_VERBS), group="autoscaling", version="v1")
