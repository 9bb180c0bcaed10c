"""Serves /metrics/COMPONENT, one scrape path for each of metrics.registry.COMPONENTS, and /metrics as their index.

Read-only and without authentication, so it listens on loopback unless told otherwise. A scrape of every object's
state is handed out in slices, so that it never holds the event loop.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import exposition
from prometheus_client.process_collector import ProcessCollector

from reconciler import __version__
from reconciler.daemon import state_metrics
from reconciler.metrics import registry
from reconciler.model.view import View

SLICE_SECONDS = 0.005
STOP_SECONDS = 5.0  # at most, for scrapes in flight
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATE = "kube-state-metrics"


def register_process() -> None:
    """Process metrics and the build's version in every component's registry, as each of Kubernetes' binaries has them."""
    from prometheus_client import Gauge

    for component in registry.COMPONENTS:
        if component in ("cadvisor", STATE):
            continue
        ProcessCollector(registry=registry.of(component))
        info = Gauge(
            "kubernetes_build_info",
            "The version that is served and of the program.",
            ["git_version", "version"],
            registry=registry.of(component),
        )
        info.labels("v1.36.0", __version__).set(1)


class Exposition:
    """The metrics server; `refresh` is called before a scrape of a component that keeps no metrics of its own."""

    def __init__(self, view: View, refresh: dict[str, Callable[[], None]]) -> None:
        self._view = view
        self._refresh = refresh
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Returns the port that is listened on. Raises OSError."""
        app = web.Application()
        app.router.add_get("/metrics", self._index)
        app.router.add_get("/metrics/{component}", self._component)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text="".join(f"/metrics/{component}\n" for component in registry.COMPONENTS))

    async def _component(self, request: web.Request) -> web.StreamResponse:
        component = request.match_info["component"]
        if component not in registry.COMPONENTS:
            raise web.HTTPNotFound(text=f"no component {component}; there are {', '.join(registry.COMPONENTS)}\n")
        if component in self._refresh:
            self._refresh[component]()
        text = exposition.generate_latest(registry.of(component))
        if component != STATE:
            return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        await response.prepare(request)
        for piece in _slices(state_metrics.lines(self._view)):
            await response.write(piece)
            await asyncio.sleep(0)
        await response.write_eof(text)
        return response


def _slices(lines: Iterator[str]) -> Iterator[bytes]:
    began, waiting = time.monotonic(), list[str]()
    for line in lines:
        waiting.append(line)
        if time.monotonic() - began > SLICE_SECONDS:
            yield "".join(waiting).encode()
            began, waiting = time.monotonic(), []
    yield "".join(waiting).encode()
