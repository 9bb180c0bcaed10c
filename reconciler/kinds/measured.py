"""metrics.k8s.io: what nodes and pods use now. Measured when somebody asks, never stored.

Not among the kinds that every server starts with: only a server whose nodes measure has them (api/measured.py).
"""

from typing import Any

from reconciler.kinds import columns
from reconciler.model import meta, quantity
from reconciler.model.kind import Kind, Version

GROUP = "metrics.k8s.io"

USAGE = {"type": "object", "additionalProperties": {"type": "string"}}
COMMON = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object"},
    "timestamp": {"type": "string", "format": "date-time"},
    "window": {"type": "string"},
}
CONTAINERS = {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "usage": USAGE}}}


def _total(resource: str, obj: meta.Obj) -> str:
    """What the node uses, or the pod's containers together."""
    parts = [obj["usage"]] if "usage" in obj else [one["usage"] for one in obj.get("containers") or ()]
    total = "0"
    for part in parts:
        total = quantity.add(total, part.get(resource, "0"))
    return total


def _kind(kind: str, plural: str, namespaced: bool, properties: dict[str, Any]) -> Kind:
    schema = {"type": "object", "description": f"{kind} sets resource usage metrics.", "properties": {**COMMON, **properties}}
    return Kind(
        group=GROUP,
        kind=kind,
        plural=plural,
        singular="",
        namespaced=namespaced,
        versions=(Version(name="v1beta1", schema=schema),),
        verbs=("get", "list"),
        custom=True,
        columns=(
            columns.NAME,
            columns.column("CPU", lambda obj: _total("cpu", obj), "CPU time per second"),
            columns.column("Memory", lambda obj: _total("memory", obj), "working set"),
            columns.column("Window", lambda obj: obj.get("window", ""), "the time that was measured"),
        ),
    )


NODES = _kind("NodeMetrics", "nodes", False, {"usage": USAGE})
PODS = _kind("PodMetrics", "pods", True, {"containers": CONTAINERS})
MEASURED = (NODES, PODS)
