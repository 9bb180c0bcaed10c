"""Reclaim policy Recycle: a pod empties the volume, and then it is free for another claim.

Upstream: recycleVolumeOperation in pv_controller.go, and RecycleVolumeByWatchingPodUntilCompletion. Only hostPath and
nfs can be recycled, as upstream. The pod is gone before the volume is free: one that is found always belongs to this
release of the volume.
"""

from collections.abc import Iterable
from typing import Any

from reconciler.controllers.persistentvolume import names
from reconciler.controllers.protection import claims_of
from reconciler.kinds import pod
from reconciler.kinds import volume as volumes
from reconciler.model import meta, plan, quantity
from reconciler.model.view import NAMESPACE, View

RECYCLABLE = ("hostPath", "nfs")
PREFIX = "recycler-for-"
PLACE = "default"
LEAST_SECONDS, SECONDS_PER_GI = 60, 30
EMPTY_IT = 'test -e /scrub && find /scrub -mindepth 1 -delete && test -z "$(ls -A /scrub)" || exit 1'


class Failed(Exception):
    """It cannot be recycled; the message is Kubernetes'."""


def planned(view: View, volume: meta.Obj, untied: meta.Obj) -> plan.Plan:
    """For a released volume; `untied` is the volume as it is when it is free. Raises Failed."""
    source = next((name for name in RECYCLABLE if name in meta.spec(volume)), "")
    if not source:
        raise Failed("No recycler plugin found for the volume!")
    users = list(_users(view, volume))
    if users:
        return plan.plan_of(waiting_on=[plan.Waiting(f"pods {', '.join(users)} to stop using it")])
    recycler = view.get(names.PODS, PLACE, PREFIX + meta.name(volume))
    if recycler is None:
        create = plan.Create(kind=names.PODS, body=_pod(volume, source), why=f"volume {meta.name(volume)} is to be emptied")
        return plan.plan_of([create])
    if pod.phase(recycler) == "Failed":
        raise Failed(f"Recycle failed: {meta.status(recycler).get('message') or 'pod failed, pod.Status.Message unknown'}")
    if pod.phase(recycler) != "Succeeded" or meta.is_deleting(recycler):
        return plan.plan_of(waiting_on=[plan.Waiting(f"pod {PLACE}/{meta.name(recycler)} to empty it")])
    done = plan.Emit(regarding=volume, reason="VolumeRecycled", message="Volume recycled", component=names.COMPONENT)
    free = plan.Update(kind=names.VOLUMES, body=untied, why="it was emptied", announce=done)
    return plan.plan_of(removal(view, volume), [free])


def removal(view: View, volume: meta.Obj) -> list[plan.Action]:
    """Takes its pod away, if there is one."""
    recycler = view.get(names.PODS, PLACE, PREFIX + meta.name(volume))
    if recycler is None:
        return []
    why, uid = "it has done its work", meta.uid(recycler)
    return [plan.Delete(kind=names.PODS, namespace=PLACE, name=meta.name(recycler), uid=uid, grace_seconds=0, why=why)]


def of_pod(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """The volume that a pod empties, or that it may have stopped using."""
    one = new if new is not None else old
    if one is None:
        return
    if meta.namespace(one) == PLACE and meta.name(one).startswith(PREFIX):
        yield "", meta.name(one).removeprefix(PREFIX)
    if meta.spec(one).get("volumes") and (new is None or pod.is_terminal(new)):
        left = {(meta.namespace(one), name) for name in claims_of(one)}
        yield from (meta.key(volume) for volume in view.by(names.VOLUMES, NAMESPACE, "") if left and volumes.claim_key(volume) in left)


def _users(view: View, volume: meta.Obj) -> Iterable[str]:
    key = volumes.claim_key(volume)
    if key is not None:
        for one in view.by(names.PODS, NAMESPACE, key[0]):
            if not pod.is_terminal(one) and key[1] in claims_of(one):
                yield meta.name(one)


def _pod(volume: meta.Obj, source: str) -> dict[str, Any]:
    gibibytes = quantity.value(str((meta.spec(volume).get("capacity") or meta.EMPTY).get("storage", "0"))) >> 30
    container = {
        "name": "pv-recycler",
        "image": "host",
        "command": ["/bin/sh", "-c", EMPTY_IT],
        "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PREFIX + meta.name(volume), "namespace": PLACE, "ownerReferences": [meta.controller_reference(volume)]},
        "spec": {
            "activeDeadlineSeconds": max(LEAST_SECONDS, gibibytes * SECONDS_PER_GI),
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "volumes": [{"name": "vol", source: meta.spec(volume)[source]}],
            "containers": [container],
        },
    }
