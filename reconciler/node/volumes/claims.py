"""What stands behind a pod's claims on this machine: local and hostPath volumes are folders here. Pure.

A volume of a pod that is a claim is read as the hostPath volume that it comes down to, so that nothing else of the
node knows of claims. What must be attached or mounted first (CSI, iSCSI, NFS, ...) says that it cannot be had.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import volume as volumes
from reconciler.model import meta
from reconciler.model.view import View
from reconciler.node.volumes.contents import Missing

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"


def name_of(volume: Mapping[str, Any], pod: meta.Obj) -> str:
    """The claim that a volume of `pod` names or has of its own, "" for another kind of volume."""
    if "ephemeral" in volume:
        return f"{meta.name(pod)}-{volume['name']}"
    return str((volume.get("persistentVolumeClaim") or meta.EMPTY).get("claimName") or "")


def names(pod: meta.Obj) -> Iterator[str]:
    return filter(None, (name_of(volume, pod) for volume in meta.spec(pod).get("volumes") or ()))


def settled(pod: meta.Obj, view: View) -> list[Mapping[str, Any]]:
    """The pod's volumes with every claim replaced by what it is bound to. Raises Missing."""
    return [_settled(volume, pod, view) for volume in meta.spec(pod).get("volumes") or ()]


def folders(pod: meta.Obj, view: View) -> Iterator[tuple[str, str]]:
    """(claim, folder) of every claim of the pod that is bound to a folder of this machine."""
    for volume in meta.spec(pod).get("volumes") or ():
        if name_of(volume, pod):
            with contextlib.suppress(Missing):
                yield name_of(volume, pod), str(_settled(volume, pod, view)["hostPath"]["path"])


def _settled(volume: Mapping[str, Any], pod: meta.Obj, view: View) -> Mapping[str, Any]:
    name = name_of(volume, pod)
    if not name:
        return volume
    claim = view.get(CLAIMS, meta.namespace(pod), name)
    if claim is None:
        raise Missing(f'persistentvolumeclaim "{name}" not found')
    found = view.get(VOLUMES, "", volumes.volume_name(claim)) if volumes.is_bound(claim) else None
    if found is None or volumes.claim_key(found) != meta.key(claim):
        raise Missing(f'persistentvolumeclaim "{name}" is not bound to a volume')
    spec, only_read = meta.spec(found), bool((volume.get("persistentVolumeClaim") or meta.EMPTY).get("readOnly"))
    if spec.get("volumeMode") == "Block":
        raise Missing(f'volume "{meta.name(found)}" is a block device, which this node does not give to containers')
    if "local" in spec:
        return {"name": volume["name"], "readOnly": only_read, "hostPath": {"path": spec["local"]["path"], "type": "Directory"}}
    if "hostPath" in spec:
        return {"name": volume["name"], "readOnly": only_read, "hostPath": spec["hostPath"]}
    raise Missing(f'volume "{meta.name(found)}" is neither local nor hostPath: mount it on this machine and describe it as one of them')
