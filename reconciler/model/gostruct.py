"""Objects as Go's structs hold them: the order of fields that upstream's quotations show.

Only texts for people need it, so nothing keeps objects in this order; JSON says that it does not matter.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.model.schema import Node

TYPE_META = ("kind", "apiVersion")


def ordered(node: Node | None, value: Any) -> Any:
    """`value` with the fields of structs in the order of their declaration and the keys of maps sorted."""
    if isinstance(value, list):
        return [ordered(node.item if node is not None and node.type == "array" else None, item) for item in value]
    if not isinstance(value, Mapping):
        return value
    shape = node.shape if node is not None else {}
    names = [name for name in dict.fromkeys((*(TYPE_META if "metadata" in shape else ()), *shape)) if name in value]
    names += sorted(name for name in value if name not in names)
    return {name: ordered(node.field(name) if node is not None else None, value[name]) for name in names}
