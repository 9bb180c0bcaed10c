"""The subresources that connect a client with something else: exec, attach, portforward and proxy.

Asking for one of the first three must be allowed as `create` too, whatever the method, for a GET that upgrades changes
more than it reads. Sessions are bounded in number; all end with the server.
"""

import asyncio

from aiohttp import web

from reconciler.api import logs, options, requests
from reconciler.api.answers import Answer
from reconciler.api.apiserver import ApiServer
from reconciler.api.backend import NodeBackend, Session
from reconciler.api.connect import limits, port_forward, proxying, remote_command, targets, upgrade, websockets
from reconciler.model import errors, meta

STREAMING = frozenset(("exec", "attach", "portforward"))
SUBRESOURCES = STREAMING | {"proxy"}
Response = Answer | web.StreamResponse


class Connecting:
    def __init__(self, server: ApiServer, node: NodeBackend | None) -> None:
        self._server = server
        self._node = node
        self._sessions: set[asyncio.Task[Response]] = set()

    async def serve(self, request: web.BaseRequest, route: requests.Route, query: options.Query) -> Response:
        if len(self._sessions) >= limits.SESSIONS_MOST:
            raise errors.StatusError(429, "TooManyRequests", "too many connections to pods, please try again later", retry_after_seconds=1)
        await self._server.cache.fresh()
        handler = self._proxy if route.subresource == "proxy" else self._stream
        session = asyncio.create_task(handler(request, route, query), name=f"{route.subresource} {route.name}")
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)
        lost = request.protocol.lost()  # type: ignore[attr-defined]
        try:
            await asyncio.wait((session, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not session.done():
                session.cancel()
                await asyncio.wait((session,))
        return upgrade.Switched() if session.cancelled() else session.result()

    def end_all(self) -> None:
        for session in self._sessions:
            session.cancel()

    async def _stream(self, request: web.BaseRequest, route: requests.Route, query: options.Query) -> Response:
        pod = self._pod(route)
        container = logs.container_of(pod, query.one("container")) if route.subresource != "portforward" else ""
        node = self._node_of(pod)
        is_websocket = websockets.is_asked(request)
        if not is_websocket and request.headers.get("Upgrade", "").lower() != "spdy/3.1":
            raise errors.bad_request("Upgrade request required")
        if route.subresource == "portforward":
            target = port_forward.Target(meta.name(pod), meta.uid(pod), lambda port: node.forward(pod, port))
            if is_websocket:
                return await port_forward.serve_websocket(request, target, query)
            return await port_forward.serve_spdy(request, target)
        wanted = remote_command.options_of(query)

        async def session() -> Session:
            try:
                if route.subresource == "attach":
                    return await node.attach(pod, container, wanted)
                return await node.exec(pod, container, query.get("command", []), wanted)
            except errors.StatusError as error:
                raise remote_command.NotStarted(error.message) from error

        serve = remote_command.serve_websocket if is_websocket else remote_command.serve_spdy
        try:
            return await serve(request, wanted, session)
        except remote_command.NotStarted as error:
            return Answer.text(500, str(error))

    async def _proxy(self, request: web.BaseRequest, route: requests.Route, query: options.Query) -> Response:
        path = _path_behind(request, route)
        if route.kind.id == "nodes":
            return await self._kubelet(request, route, path)
        id = targets.parsed(route.kind.singular, route.name)
        of = targets.of_pod if route.kind.id == "pods" else targets.of_service
        target = of(self._server.cache, route.namespace, id)
        if self._node is None:
            raise errors.StatusError(503, "ServiceUnavailable", "error trying to reach service: no node runs here")
        node = self._node
        prefix = request.raw_path.partition("?")[0].removesuffix(path)
        upstream = proxying.Upstream(lambda: node.connect(target.pod, target.port), target.scheme, target.host, path, prefix)
        return await proxying.forward(request, upstream)

    async def _kubelet(self, request: web.BaseRequest, route: requests.Route, path: str) -> Response:
        name = targets.parsed("node", route.name).name
        if self._server.cache.get("nodes", "", name) is None:
            raise errors.not_found("nodes", "", name)
        if self._node is None:
            raise errors.StatusError(503, "ServiceUnavailable", f"error trying to reach service: no kubelet of node {name} is known")
        if request.method not in ("GET", "HEAD"):
            return Answer.text(405, "405: Method Not Allowed")
        page = await self._node.page(name, path or "/", request.raw_path.partition("?")[2])
        return Answer(page.status, page.body, content_type=page.content_type)

    def _pod(self, route: requests.Route) -> meta.Obj:
        item = self._server.cache.get("pods", route.namespace, route.name)
        if item is None:
            raise errors.not_found("pods", "", route.name)
        return item.obj

    def _node_of(self, pod: meta.Obj) -> NodeBackend:
        if not meta.spec(pod).get("nodeName"):
            raise errors.bad_request(f"pod {meta.name(pod)} does not have a host assigned")
        if self._node is None:
            raise errors.StatusError(503, "ServiceUnavailable", f"no node runs here that has pod {meta.name(pod)}")
        return self._node


def _path_behind(request: web.BaseRequest, route: requests.Route) -> str:
    """What follows /proxy in the URL, as the client encoded it."""
    parts = request.raw_path.partition("?")[0].split("/")
    index = parts.index("proxy", parts.index(route.kind.plural) + 2)
    return "".join(f"/{part}" for part in parts[index + 1 :])
