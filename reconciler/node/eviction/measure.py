"""What eviction decides from: what the machine has left, and what single pods use. Reads only.

Memory is what the kernel says could be had without swapping (MemAvailable), not the root control group's usage that a
kubelet reads: this machine may well run other things, a desktop among them. The size of a folder is that of its files on
disk, each counted once; a directory counts as an inode. Walks happen in threads, follow no links, stay on one file system
and end after MAX_ENTRIES, so that what is larger still counts as at least so much.
"""

import asyncio
import itertools
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.model import meta
from reconciler.node import machine
from reconciler.node.eviction import choice, plan, thresholds
from reconciler.node.runtimes import types
from reconciler.node.volumes import places

MAX_ENTRIES = 500_000
_BLOCK_BYTES = 512  # st_blocks counts in


def node(data_dir: Path, proc: Path = Path("/proc")) -> plan.Observations:
    """Every signal that this machine tells; images are on the same file system as all else that a node keeps."""
    disk = machine.filesystem(data_dir)
    found: dict[str, tuple[int, int]] = {}
    for signal, capacity, available in (
        (thresholds.NODE_DISK, "capacity_bytes", "available_bytes"),
        (thresholds.IMAGE_DISK, "capacity_bytes", "available_bytes"),
        (thresholds.NODE_INODES, "inodes", "inodes_free"),
        (thresholds.IMAGE_INODES, "inodes", "inodes_free"),
    ):
        found[signal] = disk.get(capacity, 0), disk.get(available, 0)
    found[thresholds.MEMORY] = machine.memory(proc)
    found[thresholds.PIDS] = machine.processes(proc)
    return {signal: plan.Observed(*figures) for signal, figures in found.items() if figures[0] > 0}


class Meter:
    """What pods use; `pods_dir` is where their volumes are."""

    def __init__(self, runtime: types.Runtime, pods_dir: Path) -> None:
        self._runtime = runtime
        self._pods_dir = pods_dir

    async def used(self, pod: meta.Obj, resource: str) -> choice.Used | None:
        """As far as `resource` needs; None where the runtime does not say."""
        if resource not in ("memory", "pids"):
            return (await self.space(pod))[0]
        try:
            found = await self._runtime.usage(meta.uid(pod))
        except types.RuntimeFailure:
            return None
        memory = {name: one.memory_working_set_bytes or 0 for name, one in found.items()}
        return choice.Used(memory=memory, processes=sum(one.processes or 0 for one in found.values()))

    async def space(self, pod: meta.Obj) -> tuple[choice.Used, float]:
        """Its local storage, and the seconds of CPU that it took to find out."""
        return await asyncio.to_thread(self._space, pod)

    def _space(self, pod: meta.Obj) -> tuple[choice.Used, float]:
        begun, uid = time.thread_time(), meta.uid(pod)
        volumes = [one for one in meta.spec(pod).get("volumes") or () if "emptyDir" in one]
        folders = {str(one["name"]): places.folder(self._pods_dir / uid, uid, one) for one in volumes}
        used = choice.Used(
            containers=self._containers(uid),
            volumes={name: size(folder) for name, folder in folders.items()},
            volatile=frozenset(name for name, folder in folders.items() if folder.is_relative_to(places.SHARED_MEMORY)),
        )
        return used, time.thread_time() - begun

    def _containers(self, uid: str) -> Mapping[str, choice.Space]:
        """What each has written to its root and its log, earlier attempts that are still there too."""
        sandbox = self._runtime.sandboxes().get(uid)
        found: dict[str, list[Path]] = {}
        for one in sandbox.containers if sandbox is not None else ():
            layer, log = self._runtime.layer_path(uid, one.name, one.attempt), self._runtime.log_path(uid, one.name, one.attempt)
            found.setdefault(one.name, []).extend([*([layer] if layer is not None else ()), *([log.parent] if log is not None else ())])
        return {name: _sum([size(folder) for folder in dict.fromkeys(folders)]) for name, folders in found.items()}


def size(folder: Path) -> choice.Space:
    """What is below a folder; what cannot be read counts nothing."""
    blocks = inodes = 0
    linked: set[int] = set()  # files with several names
    for status in itertools.islice(_below(folder), MAX_ENTRIES):
        if status.st_ino in linked:
            continue
        inodes += 1
        if not stat.S_ISDIR(status.st_mode):
            blocks += status.st_blocks
            if status.st_nlink > 1:
                linked.add(status.st_ino)
    return choice.Space(blocks * _BLOCK_BYTES, inodes)


def _below(folder: Path) -> Iterator[os.stat_result]:
    try:
        device = folder.lstat().st_dev
    except OSError:
        return
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    status = _status(entry)
                    if status is not None and status.st_dev == device:
                        if stat.S_ISDIR(status.st_mode):
                            waiting.append(entry.path)
                        yield status
        except OSError:
            continue  # nobody may look


def _status(entry: "os.DirEntry[str]") -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None  # it went meanwhile


def _sum(parts: list[choice.Space]) -> choice.Space:
    return choice.Space(sum(part.bytes for part in parts), sum(part.inodes for part in parts))
