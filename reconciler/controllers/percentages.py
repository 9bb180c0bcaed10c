"""Numbers that may be percentages of a total: intstr.GetScaledValueFromIntOrPercent."""

from typing import Any


def scaled(value: Any, total: int, *, up: bool) -> int:
    """`value` is 3, "3" or "25%"; a percentage is taken of `total` and rounded up or down."""
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    product = int(text[:-1]) * total
    return -(-product // 100) if up else product // 100
