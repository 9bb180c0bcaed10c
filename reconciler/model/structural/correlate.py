"""Which part of the old object a part of the new one follows on: what ratcheting and transition rules go by.

Properties follow on by name unless the map is atomic, items of a list of type map by their keys; anything else is
never correlated, as in k8s.io/apiserver/pkg/cel/common.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model.structural.schema import Structural


@dataclass(frozen=True, slots=True)
class Link:
    """A value's schema and its old value."""

    schema: Structural
    old: Any

    def key(self, name: str) -> "Link | None":
        below = self.schema.child(name)
        if below is None or self.schema.map_type == "atomic" or not isinstance(self.old, Mapping) or name not in self.old:
            return None
        return Link(below, self.old[name])

    def item(self, value: Any) -> "Link | None":
        """The link of a new list's item."""
        schema = self.schema
        if schema.list_type != "map" or schema.items is None or not isinstance(self.old, list) or not isinstance(value, Mapping):
            return None
        keys = [value.get(name) for name in schema.map_keys]
        for old in self.old:
            if isinstance(old, Mapping) and [old.get(name) for name in schema.map_keys] == keys:
                return Link(schema.items, old)
        return None


def same(new: Any, old: Any) -> bool:
    """Equality of JSON values, in which true is not 1."""
    if isinstance(new, bool) or isinstance(old, bool):
        return new is old
    if isinstance(new, dict):
        return isinstance(old, dict) and new.keys() == old.keys() and all(same(item, old[key]) for key, item in new.items())
    if isinstance(new, list):
        return isinstance(old, list) and len(new) == len(old) and all(map(same, new, old))
    equal: bool = new == old
    return equal
