"""A line for each change that a person at the terminal cares about.

Pure: `line(kind, old, new)` is the text or None. Bookkeeping (events, leases, slices, heartbeats, managed fields) is
not news, nor is what every cluster has (default roles, each namespace's own account); what changed is said in the
words of gitops/diff.py.
"""

from reconciler.gitops import diff
from reconciler.kinds import node, pod
from reconciler.model import meta
from reconciler.model.kind import Kind

QUIET = frozenset(
    {
        "events", "events.events.k8s.io", "leases.coordination.k8s.io", "endpoints", "endpointslices.discovery.k8s.io",
        "controllerrevisions.apps", "apiservices.apiregistration.k8s.io",
    }
)  # fmt: skip
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
SYSTEM_LABELS = ("kubernetes.io/bootstrapping",)
OF_EVERY_NAMESPACE = frozenset({("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")})
BOOKKEEPING = ("metadata.annotations", "metadata.finalizers", "metadata.ownerReferences")
MAX_CHANGES = 3  # of one object on one line


def line(kind: Kind, old: meta.Obj | None, new: meta.Obj | None) -> str | None:
    """What changed, or None when nobody needs to know."""
    obj = new if new is not None else old
    assert obj is not None
    if kind.id in QUIET or _is_of_every_cluster(kind, obj):
        return None
    label = f"{kind.singular} {meta.path(obj)}"
    if old is None:
        return f"+ {label}"
    if new is None:
        return f"- {label}"
    if kind.id == "pods":
        return _pod_line(label, old, new)
    if kind.id == "nodes":
        return _node_line(label, old, new)
    if meta.is_deleting(new) and not meta.is_deleting(old):
        return f"- {label} (terminating)"
    changes = [str(change) for change in diff.between(old, new) if not change.path.startswith(BOOKKEEPING)]
    if not changes:
        return None
    more = f" and {len(changes) - MAX_CHANGES} more" if len(changes) > MAX_CHANGES else ""
    return f"~ {label}: {', '.join(changes[:MAX_CHANGES])}{more}"


def _is_of_every_cluster(kind: Kind, obj: meta.Obj) -> bool:
    place = meta.name(obj) if kind.id == "namespaces" else meta.namespace(obj)
    is_system = place in SYSTEM_NAMESPACES or (kind.id, meta.name(obj)) in OF_EVERY_NAMESPACE
    return is_system or any(name in meta.labels(obj) for name in SYSTEM_LABELS)


def _node_line(label: str, old: meta.Obj, new: meta.Obj) -> str | None:
    before, after = (_node_words(one) for one in (old, new))
    return None if before.keys() == after.keys() else f"~ {label}: {'; '.join(after.values())}"


def _node_words(obj: meta.Obj) -> dict[str, str]:
    """Whether it is ready, and what it is short of."""
    true = {one["type"]: str(one.get("message")) for one in meta.status(obj).get("conditions") or () if one.get("status") == "True"}
    ready = {"Ready": "ready"} if "Ready" in true else {"": "not ready"}
    return ready | {kind: message for kind, message in true.items() if kind in node.PRESSURES}


def _pod_line(label: str, old: meta.Obj, new: meta.Obj) -> str | None:
    if meta.is_deleting(new) and not meta.is_deleting(old):
        return f"- {label} (terminating)"
    before, after = _pod_state(old), _pod_state(new)
    return f"~ {label}: {after}" if after != before else None


def _pod_state(obj: meta.Obj) -> str:
    statuses = meta.status(obj).get("containerStatuses") or ()
    waiting = next((reason for status in statuses if (reason := ((status.get("state") or {}).get("waiting") or {}).get("reason"))), "")
    restarts = sum(int(status.get("restartCount", 0)) for status in statuses)
    words = [str(meta.status(obj).get("phase") or "Pending")]
    if meta.status(obj).get("reason"):
        words.append(f"{meta.status(obj)['reason']}: {str(meta.status(obj).get('message') or '').strip()}")
    if waiting and waiting not in ("ContainerCreating", "PodInitializing"):
        words.append(waiting)
    if pod.is_ready(obj):
        words.append("ready")
    if restarts:
        words.append(f"{restarts} restart{'s' if restarts > 1 else ''}")
    return ", ".join(words)
