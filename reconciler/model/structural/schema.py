"""A structural schema, parsed once per version of a definition: the walks of this package look things up in it.

Value validations (enum, maximum, anyOf, ...) stay in `raw` as they are written; validate.py compiles them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

META_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
NOTHING: Any = object()  # no default at all, where None would be JSON's null


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Structural:
    """`additional` is the schema of free keys; with `allows_any`, free keys are allowed without one."""

    raw: Mapping[str, Any]
    type: str = ""
    nullable: bool = False
    default: Any = NOTHING
    properties: Mapping[str, "Structural"] = field(default_factory=dict)
    items: "Structural | None" = None
    additional: "Structural | None" = None
    allows_any: bool = False
    preserves_unknown: bool = False
    is_embedded: bool = False
    is_int_or_string: bool = False
    list_type: str = ""
    map_keys: Sequence[str] = ()
    map_type: str = ""
    has_defaults: bool = False  # here or below: where there are none, defaulting need not walk
    has_lists: bool = False  # sets or maps, here or below
    has_embedded: bool = False

    def child(self, key: str) -> "Structural | None":
        """The schema of a property or a free key."""
        return self.properties.get(key) or self.additional


def parse(raw: Mapping[str, Any]) -> Structural:
    """The schema of an openAPIV3Schema in wire form."""
    properties = {name: parse(schema) for name, schema in (raw.get("properties") or {}).items()}
    items = parse(raw["items"]) if isinstance(raw.get("items"), Mapping) else None
    additional = raw.get("additionalProperties")
    free = parse(additional) if isinstance(additional, Mapping) else None
    below = [*properties.values(), *(one for one in (items, free) if one is not None)]
    default = raw.get("default")
    list_type = str(raw.get("x-kubernetes-list-type", ""))
    is_embedded = bool(raw.get("x-kubernetes-embedded-resource"))
    return Structural(
        raw=raw,
        type=str(raw.get("type", "")),
        nullable=bool(raw.get("nullable")),
        default=NOTHING if default is None else default,
        properties=properties,
        items=items,
        additional=free,
        allows_any=additional is True,
        preserves_unknown=bool(raw.get("x-kubernetes-preserve-unknown-fields")),
        is_embedded=is_embedded,
        is_int_or_string=bool(raw.get("x-kubernetes-int-or-string")),
        list_type=list_type,
        map_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        map_type=str(raw.get("x-kubernetes-map-type", "")),
        has_defaults=default is not None or any(one.has_defaults for one in below),
        has_lists=list_type in ("set", "map") or any(one.has_lists for one in below),
        has_embedded=is_embedded or any(one.has_embedded for one in below),
    )
