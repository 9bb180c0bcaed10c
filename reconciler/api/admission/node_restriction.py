"""NodeRestriction: a node writes its own Node, its own pods' status and its own lease, and takes no labels that count.

After k8s.io/kubernetes/plugin/pkg/admission/noderestriction, without volumes of storage drivers.
"""

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.api.auth import node as nodes
from reconciler.model import errors, meta

RESERVED = "node-restriction.kubernetes.io"
MIRROR = "kubernetes.io/config.mirror"
KINDS = frozenset({"nodes", "pods", "leases.coordination.k8s.io", "csinodes.storage.k8s.io"})


def validate(attributes: Attributes, obj: meta.Obj) -> None:
    node = nodes.name_of(attributes.call.user)
    if not node:
        return
    judge = {"nodes": _node, "pods": _pod}.get(attributes.call.kind.id, _own)
    problem = judge(attributes, obj, node)
    if problem:
        raise attributes.call.forbidden(problem)


def _own(attributes: Attributes, _: meta.Obj, node: str) -> str:
    """A lease or CSINode has the node's own name."""
    return (
        ""
        if attributes.call.name == node
        else f'can only access {attributes.call.kind.plural} with the same name as the requesting node "{node}"'
    )


def _node(attributes: Attributes, obj: meta.Obj, node: str) -> str:
    call, old = attributes.call, attributes.old
    if attributes.operation == "CREATE" and call.name != node:
        return f'node "{node}" is not allowed to create node "{call.name}"'
    if attributes.operation == "DELETE":
        return f'node "{node}" is not allowed to delete node "{call.name}"'
    if call.name != node:
        return f'node "{node}" is not allowed to modify node "{call.name}"'
    before = meta.labels(old) if old is not None else {}
    changed = {key for key in meta.labels(obj).keys() | before.keys() if meta.labels(obj).get(key) != before.get(key)}
    reserved = sorted(key for key in changed if key.partition("/")[0].endswith(RESERVED))
    if reserved:
        return f"is not allowed to modify labels: {', '.join(reserved)}"
    if old is not None and meta.spec(obj).get("taints") != meta.spec(old).get("taints"):
        return f'node "{node}" is not allowed to modify taints'
    return ""


def _pod(attributes: Attributes, obj: meta.Obj, node: str) -> str:
    call = attributes.call
    pod = attributes.old or obj
    if call.subresource in ("binding", "token"):
        return f'unexpected pod subresource "{call.subresource}", only "status" and "eviction" are allowed'
    if call.subresource == "eviction":
        found = attributes.cache.get("pods", call.namespace, call.name)
        if found is None:
            raise errors.not_found("pods", "", call.name)
        pod = found.obj
    elif attributes.operation == "CREATE" and MIRROR not in meta.annotations(obj):
        return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    if meta.spec(pod).get("nodeName") != node:
        verb = {"CREATE": "create", "DELETE": "delete"}.get(attributes.operation, "update status for")
        return f'node "{node}" can only {verb} pods with spec.nodeName set to itself'
    return ""


PLUGIN = Plugin(name="NodeRestriction", kinds=KINDS, validate=validate)
