"""Cells that many kinds' tables share, with the texts kubectl's users know.

A Column's `cell` is a pure function of the object and the wall time. Texts follow k8s.io/kubernetes'
internal printers: "<none>" for nothing, "<unknown>" for what cannot be told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from reconciler.model import meta
from reconciler.model.kind import Column

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

# Up to (exclusive, in seconds) this age is shown as: seconds of the unit, its letter, seconds of the finer one, letter.
_STEPS = (
    (120, 1, "s", 0, ""),
    (600, 60, "m", 1, "s"),
    (180 * 60, 60, "m", 0, ""),
    (8 * 3600, 3600, "h", 60, "m"),
    (48 * 3600, 3600, "h", 0, ""),
    (8 * 86400, 86400, "d", 3600, "h"),
    (2 * 365 * 86400, 86400, "d", 0, ""),
    (8 * 365 * 86400, 365 * 86400, "y", 86400, "d"),
)


def human_duration(seconds: float) -> str:
    """A duration in at most two units, such as 5s, 3m20s, 2d4h."""
    if seconds < -1:
        return "<invalid>"
    whole = max(0, int(seconds))
    for bound, unit, letter, finer, finer_letter in _STEPS:
        if whole < bound:
            rest = whole % unit // finer if finer else 0
            return f"{whole // unit}{letter}" + (f"{rest}{finer_letter}" if rest else "")
    return f"{whole // (365 * 86400)}y"


def since(timestamp: str | None, now: float) -> str:
    """How long ago an RFC 3339 time was."""
    return human_duration(now - seconds_of(timestamp)) if timestamp else UNKNOWN


def seconds_of(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def age(obj: meta.Obj, now: float) -> str:
    return since(meta.meta(obj).get("creationTimestamp"), now)


def joined(texts: Iterable[str], separator: str = ",", nothing: str = NONE) -> str:
    return separator.join(texts) or nothing


def first_few(texts: Sequence[str], most: int = 3, separator: str = ",", nothing: str = NONE) -> str:
    """The first texts, and how many more there are."""
    shown = separator.join(texts[:most])
    return (f"{shown} + {len(texts) - most} more..." if len(texts) > most else shown) or nothing


def labels_text(labels: Mapping[str, str] | None, nothing: str = NONE) -> str:
    """k=v,k=v in order of keys."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or nothing


def selector_text(selector: Mapping[str, Any] | None, nothing: str = NONE) -> str:
    """A LabelSelector as kubectl writes it."""
    if selector is None:
        return nothing
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], sorted(expression.get("values") or ())
        parts.append(
            {
                "In": f"{key} in ({','.join(values)})",
                "NotIn": f"{key} notin ({','.join(values)})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }.get(expression["operator"], "<error>")
        )
    return ",".join(parts) or nothing


def column(name: str, cell: Callable[[meta.Obj], Any], description: str, *, type: str = "string", wide: bool = False) -> Column:
    """A column whose cell does not depend on the time."""
    return Column(name=name, cell=lambda obj, _: cell(obj), type=type, description=description, priority=1 if wide else 0)


def of_template(spec_of: Callable[[meta.Obj], Mapping[str, Any]]) -> tuple[Column, Column]:
    """The wide columns Containers and Images, of the pod spec that `spec_of` finds."""

    def names(obj: meta.Obj) -> str:
        return ",".join(c["name"] for c in spec_of(obj).get("containers") or ())

    def images(obj: meta.Obj) -> str:
        return ",".join(c.get("image", "") for c in spec_of(obj).get("containers") or ())

    return (
        column("Containers", names, "Names of each container in the template.", wide=True),
        column("Images", images, "Images referenced by each container in the template.", wide=True),
    )


def template_spec(obj: meta.Obj) -> Mapping[str, Any]:
    """spec.template.spec, where most workloads keep their pod."""
    found: Mapping[str, Any] = (meta.spec(obj).get("template") or {}).get("spec") or {}
    return found


NAME = Column(name="Name", cell=lambda obj, _: meta.name(obj), format="name", description="@metadata.name")
WIDE_NAME = Column(name="Name", cell=lambda obj, _: meta.name(obj), format="name", description="@metadata.name", priority=1)
AGE = Column(name="Age", cell=age, description="@metadata.creationTimestamp")
CREATED_AT = Column(
    name="Created At",
    cell=lambda obj, _: meta.meta(obj).get("creationTimestamp"),
    type="date",
    description="@metadata.creationTimestamp",
)
DEFAULT = (NAME, CREATED_AT)  # of a kind without columns of its own
