"""Objects as Go's structs hold them, which upstream's messages quote: fields in their order, and all of them.

`ordered` is an object in its wire form; `internal` is what kube-apiserver's own types make of it, which is the wire
form under Go's names but for a few structs listed here. Only texts for people need this, so nothing keeps objects so.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from reconciler.model import govalue
from reconciler.model.errors import FieldError
from reconciler.model.schema import Node, Schemas

TYPE_META = ("kind", "apiVersion")
CORE = "io.k8s.api.core.v1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SOURCES = (
    "gcePersistentDisk awsElasticBlockStore hostPath glusterfs nfs rbd quobyte iscsi flexVolume cinder cephfs fc flocker azureFile "
    "vsphereVolume azureDisk photonPersistentDisk portworxVolume scaleIO local storageos csi"
)
# Internal structs with an order of their own. Whose fields another struct has there are left out.
ORDER = {
    CORE + "PersistentVolumeSource": SOURCES,
    CORE + "PersistentVolumeSpec": f"capacity {SOURCES} accessModes claimRef persistentVolumeReclaimPolicy storageClassName mountOptions "
    "volumeMode nodeAffinity volumeAttributesClassName",
    CORE + "PodSpec": "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds "
    "activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName automountServiceAccountToken nodeName securityContext "
    "imagePullSecrets hostname subdomain setHostnameAsFQDN affinity schedulerName tolerations hostAliases priorityClassName priority "
    "preemptionPolicy dnsConfig readinessGates runtimeClassName overhead enableServiceLinks topologySpreadConstraints os "
    "schedulingGates resourceClaims resources hostnameOverride schedulingGroup",
}
# What a pod's security context holds there besides its own fields, with their zero values.
HOST_FIELDS: tuple[tuple[str, str, Any], ...] = (
    ("hostNetwork", "HostNetwork", False),
    ("hostPID", "HostPID", False),
    ("hostIPC", "HostIPC", False),
    ("shareProcessNamespace", "ShareProcessNamespace", None),
    ("hostUsers", "HostUsers", None),
)


def ordered(node: Node | None, value: Any) -> Any:
    """`value` with the fields of structs in the order of their declaration and the keys of maps sorted."""
    if isinstance(value, list):
        return [ordered(node.item if node is not None and node.type == "array" else None, item) for item in value]
    if not isinstance(value, Mapping):
        return value
    shape = node.shape if node is not None else {}
    names = [name for name in dict.fromkeys((*(TYPE_META if "metadata" in shape else ()), *shape)) if name in value]
    names += sorted(name for name in value if name not in names)
    return {name: ordered(node.field(name) if node is not None else None, value[name]) for name in names}


def internal(node: Node, value: Any, struct: str = "") -> Any:
    """`value` as the internal type prints it; `struct` names another order of ORDER than the node's own."""
    if value is None or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [internal(node.item, item) for item in value]
    if not node.shape or node.name.startswith(META):
        return {key: internal(node.values, value[key]) if node.values else value[key] for key in sorted(value)}
    if node.name == CORE + "PodSpec":
        value = _with_host_fields(value)
    made: dict[str, Any] = {}
    if node.name == CORE + "PodSecurityContext":
        made |= {go_name: value.get(name, zero) for name, go_name, zero in HOST_FIELDS}
    for name in ORDER.get(struct or node.name, "").split() or node.shape:
        child = node.field(name)
        if name == "metadata":
            made |= value.get(name) or {}
        elif child is not None:
            given = value.get(name)
            shape = node.shape[name]
            made[shape.partition(":")[0]] = _zero(child, shape) if given is None else internal(child, given)
    return made


def difference(node: Node, before: Any, after: Any, struct: str = "") -> str:
    """A unified diff of two values of one type."""
    texts: list[list[str]] = []
    for value in (before, after):
        text = govalue.escaped(json.dumps(internal(node, value, struct), indent=1, ensure_ascii=False))
        texts.append([f"{line}\n" for line in text.split("\n")])
    return "".join(list(difflib.unified_diff(texts[0], texts[1], n=3))[2:])


def told(schemas: Schemas, refused: Iterable[FieldError]) -> list[FieldError]:
    """The refusals with what only the schemas can tell."""
    return [_told(schemas, error) for error in refused]


def _told(schemas: Schemas, error: FieldError) -> FieldError:
    quote = error.quote
    if quote is None:
        return error
    node = schemas.of(CORE + "PersistentVolumeSpec" if quote.definition == CORE + "PersistentVolumeSource" else quote.definition)
    if quote.before is not None:
        return replace(error, message=f"{error.message}\n{difference(node, quote.before, quote.value, quote.definition)}", quote=None)
    text = govalue.escaped(json.dumps(internal(node, quote.value), separators=(",", ":"), ensure_ascii=False))
    return replace(error, message=f"Invalid value: {text}: {quote.detail}", quote=None)


def _with_host_fields(spec: Mapping[str, Any]) -> dict[str, Any]:
    host = {name: spec[name] for name, *_ in HOST_FIELDS if name in spec}
    return {**spec, "securityContext": {**(spec.get("securityContext") or {}), **host}}


def _zero(node: Node, shape: str) -> Any:
    """What an unset field of Go prints as."""
    presence, go_type = shape.split(" ")[1:3]
    if presence in "*~" or go_type.startswith(("[]", "map[")) or node.type == "array":
        return None
    if node.format in ("quantity", "int-or-string"):
        return "0" if node.format == "quantity" else 0
    if node.type == "object":
        return internal(node, {}) if node.shape else None
    return {"string": "", "boolean": False, "integer": 0, "number": 0}.get(node.type) if node.format in ("", "int32", "int64") else None
