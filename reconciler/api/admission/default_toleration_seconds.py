"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable."""

from typing import Any

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import meta

STAY_SECONDS = 300
KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")

_DEFAULTS: dict[str, dict[str, Any]] = {
    key: {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": STAY_SECONDS} for key in KEYS
}


def admit(attributes: Attributes, obj: meta.Obj) -> meta.Obj:
    if attributes.call.subresource:
        return obj
    tolerations = meta.spec(obj).get("tolerations") or ()
    missing = [_DEFAULTS[key] for key in KEYS if not any(_covers(toleration, key) for toleration in tolerations)]
    return meta.put(obj, ("spec", "tolerations"), [*tolerations, *missing]) if missing else obj


def _covers(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key", "") in (key, "") and toleration.get("effect", "") in ("NoExecute", "")


PLUGIN = Plugin(name="DefaultTolerationSeconds", kinds=frozenset({"pods"}), admit=admit)
