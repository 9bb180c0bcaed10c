"""What a daemon is told: the command line over a configuration file over defaults.

The file is YAML; its keys are the fields below in camelCase. An unknown key or a bad value is refused with the
file's name and the field's path before anything starts.
"""

import ipaddress
import os
import pathlib
from typing import Annotated, Literal

import pydantic
from pydantic.alias_generators import to_camel

Runtime = Literal["process", "sim", "none"]
Isolation = Literal["auto", "root", "userns", "plain"]


class ConfigError(Exception):
    """The configuration cannot be used; the message names the place."""


def _address(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError("want HOST:PORT, such as 127.0.0.1:6443")
    host = host.removeprefix("[").removesuffix("]")
    if host != "localhost":
        ipaddress.ip_address(host)
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


Address = Annotated[str, pydantic.AfterValidator(_address)]
Network = Annotated[str, pydantic.AfterValidator(_network)]


class Config(pydantic.BaseModel):
    """The settings of one daemon."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    folder: pathlib.Path | None = None
    data_dir: pathlib.Path
    listen: Address = "127.0.0.1:6443"
    metrics_listen: Address = "127.0.0.1:9464"
    runtime: Runtime = "process"
    isolation: Isolation = "auto"  # of pods: the most that is possible here, or less
    nodes: int = pydantic.Field(3, ge=1, le=10_000)  # simulated nodes, with runtime sim
    node_name: str = ""  # of this machine; empty: its host name
    controllers: tuple[str, ...] = ("*",)  # kube-controller-manager's syntax
    host_images: bool = False
    local_volumes: bool = True  # the class `local`: volumes that are folders under dataDir/volumes
    images: dict[str, pathlib.Path] = {}  # image name -> root file system: a folder, a tar or an OCI archive
    tokens: pathlib.Path | None = None  # kube-apiserver's static token file: token,user,uid,"group,..."
    service_range: Network = "10.96.0.0/16"
    pod_range: Network = "10.244.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    cluster_domain: str = "cluster.local"
    history_hours: float = pydantic.Field(24.0, gt=0)  # how long past revisions are kept
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def volumes_folder(self) -> pathlib.Path | None:
        """Where nodes make the folders of local volumes; None if they make none."""
        return (self.data_dir / "volumes").absolute() if self.local_volumes and self.runtime != "none" else None

    @property
    def run_dir(self) -> pathlib.Path:
        """Where the keeper's sockets and state live: gone after a reboot, as what they speak of."""
        if os.geteuid() == 0 and self.data_dir == pathlib.Path("/var/lib/reconciler"):
            return pathlib.Path("/run/reconciler")
        base = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/reconciler-{os.geteuid()}"  # noqa: S108
        return pathlib.Path(base) / ("reconciler-" + _slug(self.data_dir))


def load(path: pathlib.Path | None, overrides: dict[str, object]) -> Config:
    """The file's settings under `overrides` (by field name). Raises ConfigError."""
    settings: dict[str, object] = {}
    if path is not None:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            settings = YAML(typ="safe").load(path.read_text()) or {}
        except (OSError, YAMLError) as error:
            raise ConfigError(f"{path}: {error}") from error
        if not isinstance(settings, dict):
            raise ConfigError(f"{path}: want a mapping of settings")
        settings = {_field(key): value for key, value in settings.items()}
    try:
        return Config(**{**settings, **overrides})  # type: ignore[arg-type]
    except pydantic.ValidationError as error:
        where = f"{path}: " if path is not None else ""
        lines = [f"{where}{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _field(key: object) -> str:
    return next((name for name in Config.model_fields if to_camel(name) == key), str(key))


def _slug(path: pathlib.Path) -> str:
    """A short name that no two folders share; unix socket paths end at 108 bytes."""
    import hashlib

    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
