"""What a daemon is told: the command line over a configuration file over defaults.

The file is YAML; its keys are the fields below in camelCase. An unknown key or a bad value is refused with the
file's name, the line and the field's path before anything starts. A further document of the file may be a
KubeSchedulerConfiguration, which scheduling.py reads.
"""

import ipaddress
import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from pydantic.alias_generators import to_camel

from reconciler.daemon import eviction

if TYPE_CHECKING:
    from reconciler.kit import yaml

SCHEDULER = "KubeSchedulerConfiguration"

Runtime = Literal["process", "sim", "none"]
Isolation = Literal["auto", "root", "userns", "plain"]


class ConfigError(Exception):
    """The configuration cannot be used; the message names the place."""


def _address(text: str) -> str:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ValueError("want HOST:PORT, such as 127.0.0.1:6443")
    host = host.removeprefix("[").removesuffix("]")
    if host != "localhost":
        ipaddress.ip_address(host)
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _range(text: str) -> str:
    from reconciler.controllers import loadbalancer

    loadbalancer.parse_range(text)
    return text


Address = Annotated[str, pydantic.AfterValidator(_address)]
Network = Annotated[str, pydantic.AfterValidator(_network)]


class Prometheus(pydantic.BaseModel):
    """Where Prometheus is, and what to ask it for which metric."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    url: str = pydantic.Field(pattern=r"^https?://")
    custom: Mapping[str, str] = {}  # metrics of pods and objects: name -> query
    external: Mapping[str, str] = {}  # metrics of anything else: name -> query


class LoadBalancer(pydantic.BaseModel):
    """Addresses for Services of type LoadBalancer, and where they are announced."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    addresses: tuple[Annotated[str, pydantic.AfterValidator(_range)], ...]  # networks, FIRST-LAST, single addresses
    interface: str = "lo"  # which gets the addresses; on any other than lo they are announced to the neighbours


class Config(eviction.Eviction, pydantic.BaseModel):
    """The settings of one daemon."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    folder: pathlib.Path | None = None
    syncs: bool = False  # follow Sync objects though there is no folder
    data_dir: pathlib.Path
    listen: Address = "127.0.0.1:6443"
    metrics_listen: Address = "127.0.0.1:9464"
    hooks_listen: Address | None = None  # where webhooks of Git forges are taken: POST /hooks/SYNC
    runtime: Runtime = "process"
    isolation: Isolation = "auto"  # of pods: the most that is possible here, or less
    nodes: int = pydantic.Field(3, ge=1, le=10_000)  # simulated nodes, with runtime sim
    node_name: str = ""  # of this machine; empty: its host name
    scheduler_config: pathlib.Path | None = None  # the file with the KubeSchedulerConfiguration
    controllers: tuple[str, ...] = ("*",)  # kube-controller-manager's syntax
    host_images: bool = False
    pod_pids_limit: int = pydantic.Field(0, ge=0)  # of all processes of a pod, as the kubelet's podPidsLimit; 0 is no limit
    local_volumes: bool = True  # the class `local`: volumes that are folders under dataDir/volumes
    images: dict[str, pathlib.Path] = {}  # image name -> root file system: a folder, a tar or an OCI archive
    tokens: pathlib.Path | None = None  # kube-apiserver's static token file: token,user,uid,"group,..."
    anonymous_auth: bool = True  # as kube-apiserver's: without credentials one is system:anonymous, who may see health and version
    sign_certificates: bool | None = None  # approved requests, with the cluster's authority; by default where this machine is a node
    load_balancer: LoadBalancer | None = None
    prometheus: Prometheus | None = None  # where autoscalers find metrics that are no resource of pods
    service_range: Network = "10.96.0.0/16"
    pod_range: Network = "10.244.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    cluster_domain: str = "cluster.local"
    history_hours: float = pydantic.Field(24.0, gt=0)  # how long past revisions are kept,
    history_mebibytes: int = pydantic.Field(64, ge=1)  # as long as they are not more than this
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def signs_certificates(self) -> bool:
        return self.runtime != "none" if self.sign_certificates is None else self.sign_certificates

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


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file of settings."""

    path: pathlib.Path
    chunk: "yaml.Chunk"
    value: Mapping[str, Any]

    def problem(self, at: Sequence[str | int], message: str) -> str:
        """FILE:LINE: FIELD: what is wrong."""
        from reconciler.kit import yaml

        line, _ = yaml.locate(self.chunk, at)
        return f"{self.path}:{line}: {field(at)}: {message}"


def documents(path: pathlib.Path) -> list[Document]:
    """The documents of a file, without empty ones. Raises ConfigError."""
    from reconciler.kit import yaml

    found = []
    try:
        for chunk in yaml.split(path.read_text()):
            if isinstance(chunk, yaml.Invalid):
                raise chunk
            for (line, _), value in yaml.build(chunk):
                if not isinstance(value, dict):
                    raise ConfigError(f"{path}:{line}: want a mapping of settings")
                found.append(Document(path, chunk, value))
    except yaml.Invalid as error:
        raise ConfigError(f"{path}:{error.line}: {error.message}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return found


def field(at: Sequence[str | int]) -> str:
    """A path of steps as it is written, such as profiles[0].plugins."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).removeprefix(".")


def load(path: pathlib.Path | None, overrides: dict[str, object]) -> Config:
    """The file's settings under `overrides` (by field name). Raises ConfigError."""
    found = documents(path) if path is not None else []
    own = [document for document in found if document.value.get("kind") != SCHEDULER]
    if len(own) > 1:
        raise ConfigError(f"{path}:{own[1].chunk.line}: a second document of settings; only a {SCHEDULER} may follow the first")
    settings: dict[str, object] = {_field(key): value for document in own for key, value in document.value.items()}
    if len(own) < len(found):
        settings.setdefault("scheduler_config", path)
    try:
        return Config(**{**settings, **overrides})  # type: ignore[arg-type]
    except pydantic.ValidationError as error:
        lines = []
        for item in error.errors():
            given = not own or _field(item["loc"][0]) in overrides
            lines.append(f"{field(item['loc'])}: {item['msg']}" if given else own[0].problem(_written(item["loc"]), item["msg"]))
        raise ConfigError("\n".join(lines)) from error


def _field(key: object) -> str:
    return next((name for name in Config.model_fields if to_camel(name) == key), str(key))


def _written(at: Sequence[str | int]) -> list[str | int]:
    """A path of pydantic's as the file has it: with the key of a field, and without the mark of a wrong key."""
    keys = {name: to_camel(name) for name in Config.model_fields}
    return [*(keys.get(str(step), step) for step in at[:1]), *(step for step in at[1:] if step != "[key]")]


def _slug(path: pathlib.Path) -> str:
    """A short name that no two folders share; unix socket paths end at 108 bytes."""
    import hashlib

    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
