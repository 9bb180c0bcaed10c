"""Numbers as Go's unstructured JSON keeps and writes them: an integral float is written without a fraction."""

from decimal import Decimal
from typing import Any

MOST, LEAST = 2**63 - 1, -(2**63)
PLAIN_BELOW = 1e21  # from here on Go writes an exponent


def canonical(value: Any) -> Any:
    """`value` with every number in the form in which it will be read back; itself where nothing changes."""
    if isinstance(value, dict):
        made = {key: canonical(item) for key, item in value.items()}
        return value if all(made[key] is item for key, item in value.items()) else made
    if isinstance(value, list):
        items = [canonical(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, float):
        return int(Decimal(repr(value))) if value.is_integer() and abs(value) < PLAIN_BELOW else value
    if isinstance(value, int) and not LEAST <= value <= MOST:
        return canonical(float(value))
    return value
