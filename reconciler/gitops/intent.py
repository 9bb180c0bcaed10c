"""What is applied for a document: its body with our marks, without the fields that are others' to decide.

Others' are the fields that the Sync ignores, and spec.replicas where an autoscaler decides it. A field that is left
out was perhaps applied before; it is then given up, so that its value stays and its owner is who changes it next.
Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.gitops import load, marks, sync
from reconciler.gitops.identity import Identity, title
from reconciler.gitops.wanted import AUTOSCALERS, Wanted
from reconciler.kit import yaml
from reconciler.model import meta
from reconciler.model.apply import fields
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster
from reconciler.model.view import NAMESPACE, View

REPLICAS: tuple[yaml.Step, ...] = ("spec", "replicas")
_OWNED_REPLICAS = fields.of((fields.field("spec"), fields.field("replicas")))


@dataclass(frozen=True, slots=True)
class Intent:
    body: dict[str, Any]
    digest: str
    given_up: fields.Fields = field(default_factory=dict)  # what we may own from before, and leave to others now
    warning: str = ""


class Intents:
    """Makes intents for one decision; autoscalers are looked up once per namespace."""

    def __init__(self, view: View, roster: Roster, wanted: Wanted, name: str, spec: sync.Spec, ownership: marks.Ownership) -> None:
        self._view = view
        self._roster = roster
        self._wanted = wanted
        self._name = name
        self._spec = spec
        self._ownership = ownership
        self._scaled: dict[str, Mapping[Identity, Identity]] = {}

    def of(self, identity: Identity, document: load.Document) -> Intent:
        kind = self._roster[identity.kind]
        whole = marks.marked(document, kind, identity.namespace, self._name, document.digest)
        scaler = self._scaler(identity, kind)
        rules = (rule.fields for rule in self._spec.ignore if rule.takes(document.body, identity.namespace))
        left_out = [load.steps(path) for paths in rules for path in paths]
        if scaler is not None:
            left_out.append(REPLICAS)
        body: Any = whole
        for steps in left_out:
            body = without(body, steps)
        if not left_out or body is whole:
            return Intent(whole, document.digest, _OWNED_REPLICAS if scaler is not None else fields.NONE)
        digest = load.digest(body)
        given_up = fields.difference(self._ownership.expected(whole, kind), self._ownership.expected(body, kind))
        body = marks.marked(document, kind, identity.namespace, self._name, digest, body)
        return Intent(
            body, digest, fields.union(given_up, _OWNED_REPLICAS if scaler else fields.NONE), self._warning(identity, whole, scaler)
        )

    def _warning(self, identity: Identity, body: meta.Obj, scaler: Identity | None) -> str:
        if scaler is None or "replicas" not in meta.spec(body):
            return ""
        document, by = self._wanted.documents[identity], self._wanted.documents.get(scaler)
        where = f" ({by.source})" if by is not None else ""
        return f"{title(self._roster, identity)} ({document.source}): spec.replicas is left to {title(self._roster, scaler)}{where}"

    def _scaler(self, identity: Identity, kind: Kind) -> Identity | None:
        if kind.subresource("scale") is None:
            return None
        if identity.namespace not in self._scaled:
            self._scaled[identity.namespace] = dict(self._targets(identity.namespace))
        return self._scaled[identity.namespace].get(identity)

    def _targets(self, namespace: str) -> Iterable[tuple[Identity, Identity]]:
        """(what is scaled, by which autoscaler) of a namespace: as they live, and as they are about to."""
        if self._roster.get(AUTOSCALERS) is None:
            return
        found = {Identity(AUTOSCALERS, namespace, meta.name(live)): live for live in self._view.by(AUTOSCALERS, NAMESPACE, namespace)}
        found |= {one: self._wanted.documents[one].body for one in self._wanted.autoscalers if one.namespace == namespace}
        for scaler, obj in found.items():
            target = scaled(self._roster, obj, namespace)
            if target is not None:
                yield target, scaler


def scaled(roster: Roster, autoscaler: meta.Obj, namespace: str) -> Identity | None:
    """What a HorizontalPodAutoscaler scales."""
    target = meta.spec(autoscaler).get("scaleTargetRef")
    if not isinstance(target, Mapping):
        return None
    kind = roster.of_object(str(target.get("apiVersion", "")), str(target.get("kind", "")))
    return Identity(kind.id, namespace, str(target.get("name", ""))) if kind is not None else None


def without(value: Any, steps: Sequence[yaml.Step]) -> Any:
    """`value` without the field at `steps`, itself where there is none; [name=web] picks items of a list."""
    step, rest = steps[0], steps[1:]
    if isinstance(value, Mapping):
        if step not in value:
            return value
        if not rest:
            return {key: one for key, one in value.items() if key != step}
        below = without(value[str(step)], rest)
        return value if below is value[str(step)] else {**value, step: below}
    if isinstance(value, list) and rest:
        items = [without(item, rest) if _is_meant(item, step, place) else item for place, item in enumerate(value)]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


def _is_meant(item: Any, step: yaml.Step, place: int) -> bool:
    key, separator, wanted = str(step).partition("=")
    return step in (place, "*") or bool(separator and isinstance(item, Mapping) and str(item.get(key)) == wanted)
