"""What an image name stands for on this machine: nothing is ever pulled from a registry.

An image is an entry of the configuration's `images` map, one that the user loaded into the data folder, the name
`host`, or, with --host-images, any image whose command (or a program of its base name) the host can run.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.node.runtimes import archive, types

HOST = "host"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What the official images run when nothing else is said: without it these programs leave the foreground.
_FOREGROUND: Mapping[str, tuple[str, ...]] = {
    "nginx": ("nginx", "-g", "daemon off;"),
    "httpd": ("apache2ctl", "-DFOREGROUND"),
    "redis": ("redis-server", "--protected-mode", "no"),
}


@dataclass(frozen=True, slots=True)
class Image:
    """`lower` are layers from the top down; a host image has the host's root."""

    id: str
    lower: tuple[str, ...]
    is_host: bool = False
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    user: str = ""
    described: str = ""


class Images:
    def __init__(self, data_dir: Path, configured: Mapping[str, str], *, host_images: bool = False) -> None:
        self._folder = data_dir / "images"
        self._configured = {normal(name): path for name, path in configured.items()}
        self._host_images = host_images

    def resolve(self, name: str, command: Sequence[str]) -> Image:
        """Raises RuntimeFailure with ErrImagePull or InvalidImageName and what to do."""
        if not name or any(c.isspace() for c in name):
            raise types.RuntimeFailure("InvalidImageName", f'couldn\'t parse image name "{name}": invalid reference format')
        if name == HOST:
            return _host(name, (), "the host's own root, read-only under a private layer")
        path = self._configured.get(normal(name))
        if path is not None:
            return self._from_path(name, Path(path))
        loaded = archive.find(self._folder, normal(name))
        if loaded is not None:
            return _loaded(loaded)
        if self._host_images:
            return self._on_host(name, command)
        raise types.RuntimeFailure(
            "ErrImagePull", f"{_absent(name)}, or start with --host-images to run its command on the host's own root"
        )

    def load(self, name: str, source: Path) -> Image:
        """Take a folder or an archive (a plain tar, `docker save`, or OCI) into the data folder under `name`."""
        return _loaded(archive.load(self._folder, normal(name), source))

    def remove_unused(self, used: Collection[str]) -> list[str]:
        """Unpacked archives that are none of `used` (image ids) and can be unpacked again; their names. Blocking."""
        removed = []
        for name, path in self._configured.items():
            try:
                loaded = archive.find(self._folder, name, source=Path(path))
                if loaded is not None and loaded.id not in used:
                    archive.remove(self._folder, name)
                    removed.append(name)
            except OSError:
                continue  # the archive is gone: what came of it cannot be had again
        return removed

    def _from_path(self, name: str, path: Path) -> Image:
        if path.is_dir() and not (path / "index.json").exists():
            return Image(id=_hash(str(path)), lower=(str(path),), described=f"the folder {path}")
        if not path.exists():
            raise types.RuntimeFailure("ErrImagePull", f'image "{name}" is configured as {path}, which does not exist')
        try:
            return _loaded(archive.find(self._folder, normal(name), source=path) or archive.load(self._folder, normal(name), path))
        except archive.BadArchive as error:
            raise types.RuntimeFailure("ErrImagePull", f'image "{name}": {path}: {error}') from error

    def _on_host(self, name: str, command: Sequence[str]) -> Image:
        if command:
            return _host(name, (), "--host-images: its command on the host's own root")
        base = normal(name).rpartition("/")[2].partition(":")[0].partition("@")[0]
        program = _FOREGROUND.get(base, (base,))
        if shutil.which(program[0], path=PATH) is None:
            raise types.RuntimeFailure("ErrImagePull", f"{_absent(name)}; --host-images found no program {program[0]} on {PATH}")
        return _host(name, program, f"--host-images: {program[0]} of the host on the host's own root")


def normal(name: str) -> str:
    """Without Docker's defaults: docker.io/library/nginx:latest is nginx."""
    for prefix in ("docker.io/", "index.docker.io/", "library/"):
        name = name.removeprefix(prefix)
    return name.removesuffix(":latest")


def _absent(name: str) -> str:
    remedy = "give it a root file system under `images` in the configuration, load one into the data folder"
    return f'image "{name}" is not on this machine: {remedy}'


def _host(name: str, command: tuple[str, ...], described: str) -> Image:
    environment = (("PATH", PATH),)
    return Image(id=_hash(f"host {name}"), lower=("/",), is_host=True, command=command, env=environment, described=described)


def _loaded(found: archive.Loaded) -> Image:
    return Image(
        id=found.id,
        lower=found.lower,
        entrypoint=found.entrypoint,
        command=found.command,
        env=found.env,
        working_dir=found.working_dir,
        user=found.user,
        described=f"loaded from {found.source}",
    )


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()
