"""Folders on this node that stand behind local volumes: made when a volume is, removed when it is deleted.

Which volumes there are is decided elsewhere (controllers/persistentvolume/local.py); their finalizer goes only after
the folder went. Only folders right under the one place for them, named as their volume, are ever made or removed, so
no volume that a user writes can reach other files.
"""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reconciler.client import protocol
from reconciler.kinds import volume as volumes
from reconciler.model import meta, plan
from reconciler.model.view import View
from reconciler.placement import affinity

VOLUMES = "persistentvolumes"
FINALIZER = "reconciler.dev/folder"
MODE = 0o777  # whoever runs in the pod may write, as in an emptyDir


@dataclass(frozen=True, slots=True)
class Make:
    """Make the folder of the volume `name`, if it is not there."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the folder of the volume `name` with all that is in it."""

    name: str
    why: str


def controller(is_here: Callable[[View, meta.Obj], bool], place: Path) -> plan.Controller:
    """`is_here` says whether a volume's node affinity allows this node."""

    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        volume = view.get(VOLUMES, *key)
        if volume is None or FINALIZER not in meta.finalizers(volume) or not _is_ours(volume, place) or not is_here(view, volume):
            return plan.NOTHING
        if not meta.is_deleting(volume):
            return plan.plan_of([Make(key[1], f"volume {key[1]} is on this node")])
        if volumes.is_bound(volume):
            return plan.plan_of(waiting_on=[plan.Waiting(f"the claim of volume {key[1]} to be deleted")])
        left = [one for one in meta.finalizers(volume) if one != FINALIZER]
        body = meta.put(volume, ("metadata", "finalizers"), left)
        removal = Remove(key[1], f"volume {key[1]} is deleted")
        return plan.plan_of([removal], [plan.Update(kind=VOLUMES, body=body, why="its folder is gone")])

    return plan.Controller(name="local-volume", kind=VOLUMES, plan=planned, reads=frozenset({"nodes"}))


def is_on(node_name: str) -> Callable[[View, meta.Obj], bool]:
    """Whether a volume can be used from the node."""

    def is_here(view: View, volume: meta.Obj) -> bool:
        one = view.get("nodes", "", node_name)
        required = (meta.spec(volume).get("nodeAffinity") or meta.EMPTY).get("required")
        return one is not None and affinity.NodeSelector(terms=affinity.terms(required)).matches(meta.labels(one), node_name)

    return is_here


def _is_ours(volume: meta.Obj, place: Path) -> bool:
    path = str((meta.spec(volume).get("local") or meta.EMPTY).get("path") or "")
    return PurePosixPath(path) == PurePosixPath(place) / meta.name(volume)


class Folders:
    """Performs `Make` and `Remove` under `place`."""

    def __init__(self, place: Path) -> None:
        self._place = place

    async def perform(self, action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
        """Raises OSError where the disk does not do it; the plan is tried again."""
        if isinstance(action, Make):
            await asyncio.to_thread(_make, self._place / action.name)
        elif isinstance(action, Remove):
            await asyncio.to_thread(_remove, self._place / action.name)
        return None


async def pretend(action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
    """For simulated nodes: there are no folders."""
    return None


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    folder.chmod(MODE)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
