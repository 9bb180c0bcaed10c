"""What ReplicaSet, Deployment, StatefulSet, DaemonSet and their like have in common: replicas, selector, template."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import meta, selectors
from reconciler.model.errors import FieldError
from reconciler.model.selectors import Selector

HISTORY_LIMIT = 10


def replicas(obj: meta.Obj) -> int:
    """spec.replicas: what is wanted."""
    wanted = meta.spec(obj).get("replicas")
    return 1 if wanted is None else int(wanted)


def count(obj: meta.Obj, field: str) -> int:
    """A number of its status, 0 while unset."""
    return int(meta.status(obj).get(field) or 0)


def selector(obj: meta.Obj) -> Selector:
    return selectors.from_label_selector(meta.spec(obj).get("selector"))


def template(obj: meta.Obj) -> Mapping[str, Any]:
    return meta.spec(obj).get("template") or meta.EMPTY


def template_labels(obj: meta.Obj) -> Mapping[str, str]:
    return (template(obj).get("metadata") or meta.EMPTY).get("labels") or meta.EMPTY


def min_ready_seconds(obj: meta.Obj) -> int:
    return int(meta.spec(obj).get("minReadySeconds") or 0)


def observed(obj: meta.Obj) -> bool:
    """Whether its controller has seen the newest spec."""
    return count(obj, "observedGeneration") >= meta.generation(obj)


def condition(obj: meta.Obj, type: str) -> Mapping[str, Any] | None:
    return next((one for one in meta.status(obj).get("conditions") or () if one.get("type") == type), None)


def keep_status(obj: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """The usual strategy of the main resource: a create has no status, an update cannot touch it."""
    return {**obj, "status": meta.EMPTY if old is None else old.get("status") or meta.EMPTY}


def keep_spec(obj: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """The usual strategy of the status subresource."""
    return obj if old is None else {**obj, "spec": old.get("spec") or meta.EMPTY}


def selector_kept(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """A selector never changes: the pods it chose would be forgotten."""
    if old is not None:
        new = meta.spec(obj).get("selector")
        yield from check.immutable("spec.selector", new, meta.spec(old).get("selector"), check.shown_selector(new))


def empty_status(**fields: Any) -> Callable[[meta.Obj, meta.Obj | None], meta.Obj]:
    """keep_status, where Kubernetes writes `fields` of a new object's status even while they are zero."""

    def prepare(obj: meta.Obj, old: meta.Obj | None) -> meta.Obj:
        return {**obj, "status": fields if old is None else old.get("status") or fields}

    return prepare
