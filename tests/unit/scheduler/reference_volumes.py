"""The rules about volumes once more, one node at a time, written from the documentation of claims, classes and drivers."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.unit.scheduler import reference
from tests.unit.scheduler.world import World

Obj = Mapping[str, Any]
CLASSES, CLAIMS, VOLUMES = "storageclasses.storage.k8s.io", "persistentvolumeclaims", "persistentvolumes"
ZONES = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
BETA = "failure-domain.beta.kubernetes.io/"


def claims(world: World, pod: Obj) -> list[tuple[str, bool, Obj | None]]:
    """Name, is it ephemeral, and the claim of each volume that has one."""
    found = []
    for volume in pod["spec"].get("volumes", ()):
        if "persistentVolumeClaim" in volume:
            name = volume["persistentVolumeClaim"]["claimName"]
            found.append((name, False, world.get(CLAIMS, "default", name)))
        elif "ephemeral" in volume:
            name = f"{pod['metadata']['name']}-{volume['name']}"
            found.append((name, True, world.get(CLAIMS, "default", name)))
    return found


def is_bound(claim: Obj) -> bool:
    return "volumeName" in claim["spec"] and "pv.kubernetes.io/bind-completed" in claim["metadata"].get("annotations", {})


def storage_class(world: World, claim: Obj) -> Obj:
    return world.get(CLASSES, "", claim["spec"].get("storageClassName", "")) or {}


def delays(world: World, claim: Obj) -> bool:
    return "volumeName" not in claim["spec"] and storage_class(world, claim).get("volumeBindingMode") == "WaitForFirstConsumer"


def refused(world: World, pod: Obj) -> str:
    """What turns the pod away whatever the node."""
    found = claims(world, pod)
    for name, ephemeral, claim in found:
        if claim is None:
            waiting = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            return waiting if ephemeral else f'persistentvolumeclaim "{name}" not found'
        if claim["status"].get("phase") == "Lost":
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName", "")}"'
        if "deletionTimestamp" in claim["metadata"]:
            return f'persistentvolumeclaim "{name}" is being deleted'
        owners = [owner["uid"] for owner in claim["metadata"].get("ownerReferences", ())]
        if ephemeral and pod["metadata"]["uid"] not in owners:
            return f"PVC default/{name} was not created for pod default/{pod['metadata']['name']} (pod is not owner)"
    if any(claim is not None and not is_bound(claim) and not delays(world, claim) for _, _, claim in found):
        return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def usable(volume: Obj, node: Obj) -> bool:
    required = volume["spec"].get("nodeAffinity", {}).get("required")
    return required is None or any(reference.node_term(term, node) for term in required["nodeSelectorTerms"])


def free_volumes(world: World, claim: Obj) -> list[Obj]:
    """Volumes of the claim's class that are large enough, smallest first."""
    size = reference.number(claim["spec"]["resources"]["requests"]["storage"])
    found = [
        volume
        for volume in world.objects[VOLUMES].values()
        if volume["spec"].get("storageClassName", "") == claim["spec"].get("storageClassName", "")
        and volume["spec"].get("volumeMode", "Filesystem") == claim["spec"].get("volumeMode", "Filesystem")
        and reference.number(volume["spec"]["capacity"]["storage"]) >= size
    ]
    return sorted(found, key=lambda one: (reference.number(one["spec"]["capacity"]["storage"]), one["metadata"]["name"]))


def matching(world: World, claim: Obj, node: Obj, taken: set[str]) -> Obj | None:
    modes = set(claim["spec"]["accessModes"])
    candidates = [volume for volume in free_volumes(world, claim) if modes <= set(volume["spec"]["accessModes"])]
    for volume in candidates:
        if volume["spec"].get("claimRef", {}).get("name") == claim["metadata"]["name"]:
            return volume if usable(volume, node) else None
    for volume in candidates:
        if volume["metadata"]["name"] in taken or "claimRef" in volume["spec"] or volume["status"]["phase"] != "Available":
            continue
        selector = claim["spec"].get("selector")
        if (selector is None or reference.matches_labels(selector, volume["metadata"]["labels"])) and usable(volume, node):
            return volume
    return None


def provisions(world: World, claim: Obj, node: Obj) -> bool:
    storage = storage_class(world, claim)
    if storage.get("provisioner", "kubernetes.io/no-provisioner") == "kubernetes.io/no-provisioner":
        return False
    allowed = storage.get("allowedTopologies")
    return not allowed or any(
        all(node["metadata"]["labels"].get(one["key"]) in one["values"] for one in term["matchLabelExpressions"]) for term in allowed
    )


def has_room(world: World, claim: Obj, node: Obj) -> bool:
    storage = storage_class(world, claim)
    driver = world.get("csidrivers.storage.k8s.io", "", storage["provisioner"])
    if driver is None or not driver["spec"].get("storageCapacity"):
        return True
    size = reference.number(claim["spec"]["resources"]["requests"]["storage"])
    return any(
        one["storageClassName"] == storage["metadata"]["name"]
        and reference.matches_labels(one["nodeTopology"], node["metadata"]["labels"])
        and reference.number(one.get("maximumVolumeSize", one["capacity"])) >= size
        for one in world.objects["csistoragecapacities.storage.k8s.io"].values()
    )


def volume_binding(world: World, pod: Obj, node: Obj) -> set[str]:
    found = [claim for _, _, claim in claims(world, pod) if claim is not None]
    reasons = set()
    for claim in found:
        if is_bound(claim):
            volume = world.get(VOLUMES, "", claim["spec"]["volumeName"])
            if volume is None:
                reasons.add("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")
            elif not usable(volume, node):
                reasons.add("node(s) didn't match PersistentVolume's node affinity")
    taken: set[str] = set()
    roomy = True
    waiting = [claim for claim in found if not is_bound(claim)]
    for claim in sorted(waiting, key=lambda one: reference.number(one["spec"]["resources"]["requests"]["storage"])):
        chosen = claim["metadata"].get("annotations", {}).get("volume.kubernetes.io/selected-node")
        volume = None if chosen else matching(world, claim, node, taken)
        if volume is not None:
            taken.add(volume["metadata"]["name"])
        elif chosen not in (None, node["metadata"]["name"]) or not provisions(world, claim, node):
            return reasons | {"node(s) didn't find available persistent volumes to bind"}
        else:
            roomy = roomy and has_room(world, claim, node)
    return reasons if roomy else reasons | {"node(s) did not have enough free storage"}


def volume_zone(world: World, pod: Obj, node: Obj) -> set[str]:
    labels = node["metadata"]["labels"]
    general = {key.replace(BETA, "topology.kubernetes.io/"): value for key, value in labels.items()}
    if not any(key in general for key in ZONES):
        return set()
    for _, ephemeral, claim in claims(world, pod):
        volume = world.get(VOLUMES, "", claim["spec"].get("volumeName", "")) if claim is not None and not ephemeral else None
        for key, value in (volume or {"metadata": {"labels": {}}})["metadata"]["labels"].items():
            plain = key.replace(BETA, "topology.kubernetes.io/")
            zones = [zone.strip() for zone in value.split("__")]
            if plain in ZONES and all(zones) and labels.get(key, labels.get(plain)) not in zones:
                return {"node(s) had no available volume zone"}
    return set()


def same_disk(ours: Obj, theirs: Obj) -> bool:
    def both(kind: str, *fields: str) -> bool:
        if kind not in ours or kind not in theirs or (ours[kind].get("readOnly") and theirs[kind].get("readOnly")):
            return False
        return all(ours[kind].get(field) == theirs[kind].get(field) for field in fields)

    if "awsElasticBlockStore" in ours and "awsElasticBlockStore" in theirs:
        return bool(ours["awsElasticBlockStore"]["volumeID"] == theirs["awsElasticBlockStore"]["volumeID"])
    if both("gcePersistentDisk", "pdName") or both("iscsi", "iqn"):
        return True
    return both("rbd", "image") and bool(set(ours["rbd"]["monitors"]) & set(theirs["rbd"]["monitors"]))


def volume_restrictions(world: World, pod: Obj, node: Obj) -> set[str]:
    for ours in pod["spec"].get("volumes", ()):
        for other in world.pods_on(node):
            if any(same_disk(ours, theirs) for theirs in other["spec"].get("volumes", ())):
                return {"node(s) had no available disk"}
    for name, ephemeral, claim in claims(world, pod):
        alone = claim is not None and not ephemeral and "ReadWriteOncePod" in claim["spec"]["accessModes"]
        if alone and any(name in [each for each, _, _ in claims(world, other)] for one in world.nodes for other in world.pods_on(one)):
            return {"node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"}
    return set()


def attached(world: World, pod: Obj) -> set[tuple[str, str]]:
    """Driver and handle of each CSI volume of a pod; for a claim without a volume the driver that will make one."""
    found = set()
    for name, _, claim in claims(world, pod):
        volume = world.get(VOLUMES, "", claim["spec"].get("volumeName", "")) if claim is not None else None
        if volume is not None and "csi" in volume["spec"]:
            found.add((volume["spec"]["csi"]["driver"], volume["spec"]["csi"]["volumeHandle"]))
        elif volume is None and claim is not None and storage_class(world, claim):
            driver = storage_class(world, claim)["provisioner"]
            if driver != "kubernetes.io/no-provisioner":
                found.add((driver, f"new {name}"))
    return found


def node_volume_limits(world: World, pod: Obj, node: Obj) -> set[str]:
    own = world.get("csinodes.storage.k8s.io", "", node["metadata"]["name"])
    there = set().union(*(attached(world, other) for other in world.pods_on(node)))
    for one in world.objects["volumeattachments.storage.k8s.io"].values():
        if one["spec"]["nodeName"] == node["metadata"]["name"]:
            csi = world.objects[VOLUMES].get(("", one["spec"]["source"]["persistentVolumeName"]), {"spec": {}})["spec"].get("csi")
            there |= {(csi["driver"], csi["volumeHandle"])} if csi else set()
    for driver in own["spec"]["drivers"] if own is not None else ():
        limit = driver.get("allocatable", {}).get("count")
        new = {each for each in attached(world, pod) - there if each[0] == driver["name"]}
        if limit is not None and new and len(new) + sum(each[0] == driver["name"] for each in there) > limit:
            return {"node(s) exceed max volume count"}
    return set()


FILTERS: Mapping[str, Callable[[World, Obj, Obj], set[str]]] = {
    "VolumeBinding": volume_binding,
    "VolumeZone": volume_zone,
    "VolumeRestrictions": volume_restrictions,
    "NodeVolumeLimits": node_volume_limits,
}
