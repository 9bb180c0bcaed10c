"""Pods of one template, made once: what decoding, defaults, owners, admission and validation came to is kept.

A controller creates thousands of pods that differ in nothing but their names. A body that equals an earlier one of the
same owner in everything else, while nothing changed that admission looks at, comes to the same object under another
name, uid and time; they even share their spec in memory. Whatever looks at each pod alone (a quota, a webhook) makes
twins impossible by saying so (`Plugin.looks_at_each_with`).
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.api.calls import Call
from reconciler.api.surroundings import Surroundings
from reconciler.model import meta, metadata

KINDS = frozenset({"pods"})
KEPT = 1024

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Twin:
    """`body` is what was sent, `obj` what it came to; good while `seen` is what the cache's kinds last changed at."""

    body: Mapping[str, Any]
    metadata: Mapping[str, Any]  # as sent, without the name
    obj: meta.Obj
    seen: tuple[int, ...]

    def named(self, name: str, uid: str, now: str) -> dict[str, Any]:
        """The object under another name."""
        made = {**meta.meta(self.obj), "name": name, "uid": uid, "creationTimestamp": now}
        if "managedFields" in made:
            made["managedFields"] = [{**entry, "time": now} for entry in made["managedFields"]]
        return {**self.obj, "metadata": made}


class Twins:
    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._kept: OrderedDict[Key, Twin] = OrderedDict()

    def find(self, call: Call, body: Any) -> Twin | None:
        """An earlier object that `body` is equal to but for its name, which must be fit for a name."""
        if call.kind.id not in KINDS or call.dry_run:
            return None
        twin = self._kept.get(_key(call, body))
        if twin is None or body.get("spec") != twin.body.get("spec") or body.keys() != twin.body.keys():
            return None
        if not _equal_but_name(meta.meta(body), twin.metadata) or twin.seen != self._surroundings.seen(call.kind.id):
            return None
        return (
            None
            if self._surroundings.look_at_each(call.kind.id, call.namespace) or metadata.name_reasons(call.kind, meta.name(body))
            else twin
        )

    def remember(self, call: Call, body: Any, obj: meta.Obj) -> None:
        """Keep what `body` came to, if another like it would come to the same."""
        if call.kind.id not in KINDS or call.dry_run or call.warnings or self._surroundings.look_at_each(call.kind.id, call.namespace):
            return
        if not meta.name(body) or not meta.owners(body) or body.keys() - {"apiVersion", "kind", "metadata", "spec"}:
            return
        sent = {key: value for key, value in meta.meta(body).items() if key != "name"}
        self._kept[_key(call, body)] = Twin(body, sent, obj, self._surroundings.seen(call.kind.id))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _key(call: Call, body: Mapping[str, Any]) -> Key:
    """`body` was not checked yet: nothing in it needs to be what it should be."""
    metadata = body.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, Mapping) else None
    owner = owners[0] if owners and isinstance(owners, list) else None
    return call.namespace, call.manager, call.field_validation, str(owner.get("uid", "")) if isinstance(owner, Mapping) else ""


def _equal_but_name(sent: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    return len(sent) == len(earlier) + 1 and all(key == "name" or sent[key] == earlier.get(key) for key in sent)
