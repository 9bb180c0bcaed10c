"""What a kubelet shows over HTTP, read-only: health, metrics, its pods, logs.

/healthz  /pods  /runningpods/  /metrics  /metrics/cadvisor
/logs/...                                     the folder of logs, as files and listings
/containerLogs/NAMESPACE/POD/CONTAINER        the whole log as it is now
"""

import asyncio
import html
import pathlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import orjson
from prometheus_client import exposition

from reconciler.kinds import pod as pods
from reconciler.metrics import registry
from reconciler.model import errors, meta
from reconciler.node import logs

FILE_MOST_BYTES = 16 * 1024 * 1024  # the end of a longer one is shown
LISTED_MOST = 4096
PLAIN = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Everything:
    """PodLogOptions that leave nothing out."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = FILE_MOST_BYTES
    since: float | None = None
    stream: str = "All"


class Pages:
    """`own_pods` are the Pod objects that are bound to the node."""

    def __init__(self, own_pods: Callable[[], Iterable[meta.Obj]], container_logs: logs.Logs | None, log_root: pathlib.Path | None) -> None:
        self._own_pods = own_pods
        self._logs = container_logs
        self._log_root = log_root

    async def page(self, path: str) -> Page:
        """Raises StatusError where a container has no log."""
        match [unquote(part) for part in path.split("/") if part]:
            case ["healthz"]:
                return Page(200, PLAIN, b"ok")
            case ["pods"]:
                return self._pods(self._own_pods())
            case ["runningpods"]:
                return self._pods(pod for pod in self._own_pods() if pods.phase(pod) == "Running")
            case ["metrics"]:
                return Page(200, METRICS, exposition.generate_latest(registry.of("kubelet")))
            case ["metrics", "cadvisor"]:
                return Page(200, METRICS, exposition.generate_latest(registry.of("cadvisor")))
            case ["containerLogs", namespace, name, container]:
                return await self._log(namespace, name, container)
            case ["logs", *parts] if self._log_root is not None:
                return await asyncio.to_thread(_file, self._log_root, parts, path)
        return _missing()

    def _pods(self, found: Iterable[meta.Obj]) -> Page:
        items = [{**pod, "apiVersion": "v1", "kind": "Pod"} for pod in found]
        listed: dict[str, Any] = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        return Page(200, "application/json", orjson.dumps(listed))

    async def _log(self, namespace: str, name: str, container: str) -> Page:
        pod = next((pod for pod in self._own_pods() if meta.key(pod) == (namespace, name)), None)
        if pod is None or self._logs is None:
            raise errors.not_found("pods", "", name)
        return Page(200, PLAIN, b"".join([piece async for piece in self._logs.logs(pod, container, _Everything())]))


def _file(root: pathlib.Path, parts: list[str], path: str) -> Page:
    """A file below `root`, or the listing of a folder; no link and no `..` leads out."""
    top = root.resolve()
    found = top.joinpath(*parts).resolve()
    if not found.is_relative_to(top):
        return _missing()
    try:
        if found.is_dir():
            if not path.endswith("/"):
                return Page(301, PLAIN, f"see {path}/\n".encode())
            return Page(200, "text/html; charset=utf-8", _listing(found))
        with found.open("rb") as file:
            file.seek(max(0, found.stat().st_size - FILE_MOST_BYTES))
            return Page(200, PLAIN, file.read(FILE_MOST_BYTES))
    except OSError:
        return _missing()


def _listing(folder: pathlib.Path) -> bytes:
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())[:LISTED_MOST]
    lines = [f'<a href="{quote(name)}">{html.escape(name)}</a>' for name in names]
    return "\n".join(["<pre>", *lines, "</pre>", ""]).encode()


def _missing() -> Page:
    return Page(404, PLAIN, b"404 page not found\n")
