"""Where a pod's volumes are on this node, and how a container's volumeMounts become mounts.

A pod's own volumes are folders under its directory; hostPath volumes are wherever the user says. Memory-backed
emptyDirs live on the machine's tmpfs, which the runtime's memory limit charges to the pod.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from reconciler.node import environment
from reconciler.node.runtimes import types
from reconciler.node.volumes.contents import Missing

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  the machine's tmpfs, on purpose
_PROPAGATION: Mapping[str, Literal["private", "slave", "shared"]] = {
    "None": "private",
    "HostToContainer": "slave",
    "Bidirectional": "shared",
}
_HOST_TYPES = {
    "Directory": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


def folder(pod_dir: Path, pod_uid: str, volume: Mapping[str, Any]) -> Path:
    """Where the volume is, or will be once prepared."""
    if "hostPath" in volume:
        return Path(str(volume["hostPath"]["path"]))
    if (volume.get("emptyDir") or {}).get("medium") == "Memory" and os.access(SHARED_MEMORY, os.W_OK):
        return SHARED_MEMORY / f"reconciler-{pod_uid}" / str(volume["name"])
    return pod_dir / "volumes" / str(volume["name"])


def prepare(place: Path, volume: Mapping[str, Any], *, gid: int = -1) -> None:
    """Make an emptyDir or check a hostPath. Raises Missing where the host does not have what is wanted."""
    if "emptyDir" in volume:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o2777 if gid >= 0 else 0o777)
        if gid >= 0:
            os.chown(place, -1, gid)
    elif "hostPath" in volume:
        _prepare_host_path(place, str(volume["hostPath"].get("type") or ""))


def remove(pod_dir: Path, pod_uid: str) -> None:
    """Everything that the pod's volumes left, and nothing that a hostPath points to."""
    for top in (pod_dir, SHARED_MEMORY / f"reconciler-{pod_uid}"):
        if top.exists():
            shutil.rmtree(top)


def remove_memory(pods_dir: Path) -> None:
    """What pods have in memory, as a reboot would; their folders stay."""
    for pod_dir in pods_dir.glob("*"):
        shutil.rmtree(SHARED_MEMORY / f"reconciler-{pod_dir.name}", ignore_errors=True)


def mount(place: Path, wanted: Mapping[str, Any], variables: Mapping[str, str]) -> types.Mount:
    """A container's volumeMount of a volume at `place`. Raises Missing for a subPath that leads out of it."""
    sub_path = str(wanted.get("subPath") or "")
    if wanted.get("subPathExpr"):
        (sub_path,) = environment.expanded([str(wanted["subPathExpr"])], variables.items())
    if sub_path:
        _check_inside(place, sub_path)
    return types.Mount(
        source=str(place),
        sub_path=sub_path,
        target=str(wanted["mountPath"]),
        read_only=bool(wanted.get("readOnly")),
        propagation=_PROPAGATION[str(wanted.get("mountPropagation") or "None")],
    )


def _check_inside(place: Path, sub_path: str) -> None:
    """Make `sub_path` if it is absent. The runtime resolves it once more, in a way that no link can leave the volume."""
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise Missing(f"the subPath {sub_path!r} leads out of the volume")
    found = place / sub_path
    if not found.resolve().is_relative_to(place.resolve()):
        raise Missing(f"the subPath {sub_path!r} leads out of the volume")
    if not found.exists():
        found.mkdir(parents=True, exist_ok=True)


def _prepare_host_path(place: Path, kind: str) -> None:
    if kind == "DirectoryOrCreate":
        place.mkdir(parents=True, exist_ok=True, mode=0o755)
    elif kind == "FileOrCreate" and not place.exists():
        place.touch(mode=0o644)
    if not kind:
        if not place.exists():
            place.mkdir(parents=True, exist_ok=True, mode=0o755)
        return
    wanted = _HOST_TYPES.get(kind.removesuffix("OrCreate"))
    try:
        is_right = wanted is None or wanted(place.stat().st_mode)
    except OSError:
        is_right = False
    if not is_right:
        raise Missing(f"hostPath type check failed: {place} is not a {kind}")
