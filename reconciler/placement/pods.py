"""What placement asks of a pod beside its rules: its rank, whether it still counts, who places it."""

from reconciler.model import meta

DEFAULT_SCHEDULER = "default-scheduler"


def priority(pod: meta.Obj) -> int:
    return int(meta.spec(pod).get("priority") or 0)


def node_name(pod: meta.Obj) -> str:
    return meta.spec(pod).get("nodeName") or ""


def is_over(pod: meta.Obj) -> bool:
    """Whether the pod has ended for good, and so takes nothing of its node any more."""
    return meta.status(pod).get("phase") in ("Succeeded", "Failed")


def scheduler_name(pod: meta.Obj) -> str:
    return meta.spec(pod).get("schedulerName") or DEFAULT_SCHEDULER


def is_gated(pod: meta.Obj) -> bool:
    return bool(meta.spec(pod).get("schedulingGates"))


def nominated_node(pod: meta.Obj) -> str:
    return meta.status(pod).get("nominatedNodeName") or ""
