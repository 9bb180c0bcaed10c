"""From a container's spec to what the shim executes: the finished description of node/keeper/child.py.

Three modes, by what the keeper found it may do: `root` (namespaces, overlay, users), `userns` (the same inside a
user namespace that maps one user) and `plain` (a process in its own session, the host's files as they are).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reconciler.node.keeper import leftovers, linux
from reconciler.node.runtimes import capabilities, cgroups, images, rootfs, seccomp, types

Mode = Literal["root", "userns", "plain"]
LOG_MAX_BYTES = 10 << 20  # kubelet's containerLogMaxSize
LOG_MAX_FILES = 5  # kubelet's containerLogMaxFiles


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all containers of one runtime share."""

    mode: Mode
    layers_dir: Path
    hidden: tuple[str, ...]
    groups: cgroups.Groups
    profiles: tuple[Path, ...] = ()  # where seccomp profiles are
    log_max_bytes: int = LOG_MAX_BYTES
    log_max_files: int = LOG_MAX_FILES


def namespaces(spec: types.SandboxSpec, mode: Mode) -> int:
    """The flags of the namespaces that a pod's shim enters."""
    if mode == "plain":
        return 0
    flags = linux.CLONE_NEWUSER if mode == "userns" else 0
    flags |= 0 if spec.host_ipc else linux.CLONE_NEWIPC
    if not spec.host_network:
        flags |= linux.CLONE_NEWNET | linux.CLONE_NEWUTS
    return flags


def container_id(uid: str, name: str, attempt: int) -> str:
    return hashlib.sha256(f"{uid}/{name}/{attempt}".encode()).hexdigest()


def log_path(sandbox: types.SandboxSpec, name: str, attempt: int) -> Path:
    return sandbox.log_dir / name / f"{attempt}.log"


def layer_path(around: Surroundings, uid: str, name: str, attempt: int) -> Path:
    return around.layers_dir / uid / f"{name}-{attempt}"


def specification(around: Surroundings, sandbox: types.SandboxSpec, spec: types.ContainerSpec, image: images.Image) -> dict[str, Any]:
    argv = list(spec.command or image.entrypoint) + list(spec.args or (() if spec.command else image.command))
    if not argv:
        raise types.RuntimeFailure(
            "RunContainerError", f'container "{spec.name}": image "{spec.image}" has no command, and the pod gives none'
        )
    security = spec.security
    held = capabilities.effective(security.add_capabilities, security.drop_capabilities, privileged=security.privileged)
    path = log_path(sandbox, spec.name, spec.attempt)
    description: dict[str, Any] = {
        "argv": argv,
        "env": _defaults(sandbox, spec) | dict(image.env) | dict(spec.env),
        "cwd": spec.working_dir or image.working_dir or "/",
        "tty": spec.tty,
        "stdin": spec.stdin,
        "stdin_once": spec.stdin_once,
        "oom_score_adj": spec.resources.oom_score_adj,
        "no_new_privileges": security.no_new_privileges and not security.privileged,
        "cgroups": around.groups.launch(sandbox.uid, spec.name, spec.attempt, spec.resources),
        "log": {"path": str(path), "max_bytes": around.log_max_bytes, "max_files": around.log_max_files},
        "note": {"image": spec.image, "image_id": image.id, "stop_signal": spec.stop_signal},
    }
    description["seccomp"] = _filter(around, security, held)
    if around.mode == "plain":
        _plain(around, sandbox, spec, image)
        return description
    return description | _identity(around.mode, security, held, image) | _files(around, sandbox, spec, image)


def _defaults(sandbox: types.SandboxSpec, spec: types.ContainerSpec) -> dict[str, str]:
    return {"PATH": images.PATH, "HOSTNAME": sandbox.hostname} | ({"TERM": "xterm"} if spec.tty else {})


def _filter(around: Surroundings, security: types.Security, held: frozenset[str]) -> str:
    """The seccomp filter, "" for none. A profile that is asked for and cannot be had is never replaced by another."""
    if security.privileged or security.seccomp == "Unconfined":
        return ""
    if security.seccomp == "RuntimeDefault":
        return seccomp.default_program(held) if around.mode != "plain" else ""
    try:
        return seccomp.local_program(security.seccomp_profile, around.profiles)
    except seccomp.Unusable as error:
        raise types.RuntimeFailure("CreateContainerError", str(error)) from error


def _plain(around: Surroundings, sandbox: types.SandboxSpec, spec: types.ContainerSpec, image: images.Image) -> None:
    """Nothing can be mounted: what a pod mounts elsewhere than where it lies cannot be had."""
    if not image.is_host:
        message = (
            f'image "{spec.image}" needs mounts, which this user may not make; enable user namespaces, run as root or use the image host'
        )
        raise types.RuntimeFailure("CreateContainerError", message)
    for mount in spec.mounts:
        source = os.path.join(mount.source, mount.sub_path) if mount.sub_path else mount.source
        if not mount.optional and os.path.realpath(mount.target) != os.path.realpath(source):
            _link(str(around.layers_dir / sandbox.uid), source, mount.target)


def _link(folder: str, source: str, target: str) -> None:
    """The best that a plain process can have of a volume: a symbolic link at its mount path.

    It goes with the pod, and so do the folders made for it. One that another pod still needs is left to it.
    """
    if os.path.islink(target) and os.path.exists(target):
        raise _no_mount(target, f"another volume is there, {os.readlink(target)}")
    made: list[str] = []
    parent = os.path.dirname(target)
    while not os.path.lexists(parent):
        made.insert(0, parent)
        parent = os.path.dirname(parent)
    try:
        leftovers.remember_link(folder, target, source, made)
        if os.path.islink(target):
            os.unlink(target)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(source, target)
    except OSError as error:
        raise _no_mount(target, str(error.strerror)) from error


def _no_mount(target: str, why: str) -> types.RuntimeFailure:
    message = f"volume at {target}: {why}; this user may not mount: enable user namespaces or run as root"
    return types.RuntimeFailure("CreateContainerError", message)


def _identity(mode: Mode, security: types.Security, held: frozenset[str], image: images.Image) -> dict[str, Any]:
    uid, gid = security.uid, security.gid
    if uid is None and image.user:
        user, _, group = image.user.partition(":")
        uid, gid = (int(user) if user.isdecimal() else 0), (int(group) if group.isdecimal() else gid)
    if mode == "userns":
        nested = [uid, gid or 0] if uid else None
        return {"uid": None, "capabilities": capabilities.mask(held), "nested_user": nested}
    return {"uid": uid or 0, "gid": gid, "groups": list(security.groups), "capabilities": capabilities.mask(held)}


def _files(around: Surroundings, sandbox: types.SandboxSpec, spec: types.ContainerSpec, image: images.Image) -> dict[str, Any]:
    privileged = spec.security.privileged
    folder = layer_path(around, sandbox.uid, spec.name, spec.attempt)
    kernel = rootfs.kernel_mounts(own_network=not sandbox.host_network, read_only_sys=not privileged, owns_ipc=not sandbox.host_ipc)
    volumes = sorted(spec.mounts, key=lambda mount: mount.target.count("/"))
    targets = {os.path.normpath(mount.target) for mount in volumes}
    host = [mount for mount in rootfs.host_mounts(around.hidden) if mount["target"] not in targets] if image.is_host else []
    masked = [path for path in rootfs.host_masked() if path not in targets] if image.is_host else []
    root: dict[str, Any] = {"dir": str(folder), "read_only": spec.security.read_only_root, "userxattr": around.mode == "userns"}
    links = rootfs.links()
    if image.is_host and around.mode == "userns":
        root["parts"], top_links = rootfs.host_parts(around.hidden)
        links = top_links + links
    else:
        root["lower"] = list(image.lower)
    return {
        "root": root,
        "mounts": [*host, *kernel, *map(rootfs.volume, volumes)],
        "masked": masked + ([] if privileged else list(rootfs.MASKED)),
        "read_only_paths": [] if privileged else list(rootfs.READ_ONLY),
        "links": links,
        "host_pid": sandbox.host_pid,
    }
