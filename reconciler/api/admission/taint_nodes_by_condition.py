"""TaintNodesByCondition: a new node takes no pods until the node lifecycle controller has seen that it is ready."""

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.kinds import node
from reconciler.model import meta

_TAINT = {"key": node.NOT_READY_TAINT, "effect": "NoSchedule"}


def admit(attributes: Attributes, obj: meta.Obj) -> meta.Obj:
    if attributes.operation != "CREATE" or attributes.call.subresource:
        return obj
    taints = node.taints(obj)
    if any(taint.get("key") == _TAINT["key"] and taint.get("effect") == _TAINT["effect"] for taint in taints):
        return obj
    return meta.put(obj, ("spec", "taints"), [*taints, _TAINT])


PLUGIN = Plugin(name="TaintNodesByCondition", kinds=frozenset({"nodes"}), admit=admit)
