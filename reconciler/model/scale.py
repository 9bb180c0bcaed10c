"""What the scale subresource of an object says: how many replicas it wants and has, and which pods they are.

Pure reading; who may write a scale and how is the API's (api/scaling.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model import meta
from reconciler.model.kind import Subresource


@dataclass(frozen=True, slots=True)
class Scale:
    wanted: int  # spec.replicas
    present: int  # status.replicas
    selector: str  # as text, "" where the object has none


def of(obj: meta.Obj, subresource: Subresource) -> Scale:
    """`subresource` says where the object keeps what."""
    selector = at(obj, subresource.selector_path or ("spec", "selector")) or ""
    return Scale(
        wanted=int(at(obj, subresource.replicas_path) or 0),
        present=int(at(obj, subresource.status_replicas_path) or 0),
        selector=selector if isinstance(selector, str) else selector_text(selector),
    )


def at(obj: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj


def selector_text(selector: Any) -> str:
    """A selector as text, sorted by key, as labels.Selector.String() writes it."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }[expression["operator"]]
        parts.append((key, text))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))
