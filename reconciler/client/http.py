"""client.protocol.Client over HTTPS or a unix socket: what an agent uses that is not in the server's process.

Works against any Kubernetes. Our own server adds a header with the revision of every write; where it is missing the
object's resourceVersion serves, and a deletion that answers with a Status counts as revision 0. Who acted reaches the
server as the user and the user agent; causes and sources stay behind.
"""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

import reconciler
from reconciler import kinds
from reconciler.client import kubeconfig, protocol
from reconciler.model import errors, meta, plan
from reconciler.model.kind import Kind
from reconciler.model.roster import Roster

REQUEST_SECONDS = 60.0
CONNECT_SECONDS = 5.0
EVENT_MOST_BYTES = 16 * 1024 * 1024
CONTENT_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is, and as whom to speak."""

    url: str
    socket: Path | None = None
    tls: ssl.SSLContext | None = None
    token: str = ""

    @classmethod
    def of_kubeconfig(cls, path: Path) -> "Target":
        """Raises kubeconfig.Unusable, OSError, ssl.SSLError."""
        cluster = kubeconfig.load(path)
        tls = cluster.ssl_context() if cluster.server.startswith("https:") else None
        return cls(cluster.server.rstrip("/"), tls=tls, token=cluster.token)

    @classmethod
    def of_socket(cls, path: Path) -> "Target":
        return cls("http://localhost", socket=path)


class HttpClient:
    """`name` is the default field manager, and the user agent. Make it inside a running event loop, and close it."""

    def __init__(self, target: Target, name: str = "reconciler") -> None:
        self._url = target.url
        self._name = name
        self._roster: Roster | None = None
        connector: aiohttp.BaseConnector
        if target.socket is not None:
            connector = aiohttp.UnixConnector(str(target.socket))
        else:
            connector = aiohttp.TCPConnector(ssl=target.tls if target.tls is not None else True, limit=0)
        headers = {"User-Agent": f"{name}/{reconciler.__version__}", "Accept": "application/json"}
        if target.token:
            headers["Authorization"] = f"Bearer {target.token}"
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=True)

    async def close(self) -> None:
        await self._session.close()

    async def perform(
        self, action: plan.ApiAction, origin: protocol.Origin, options: protocol.Options = protocol.Options()
    ) -> protocol.Written:
        """One write. Raises StatusError, Unknown."""
        kind = await self._kind(action.kind)
        query = _write_query(options, self._name)
        match action:
            case plan.Create():
                name = meta.name(action.body) if action.subresource else ""
                path = _path(kind, meta.namespace(action.body), name, action.subresource)
                return await self._write("POST", path, query, _typed(kind, action), action.subresource != "")
            case plan.Update():
                path = _path(kind, *meta.key(action.body), action.subresource)
                return await self._write("PUT", path, query, _typed(kind, action), False)
            case plan.Patch():
                path = _path(kind, action.namespace, action.name, action.subresource)
                if action.manager or action.type == "apply":
                    query["fieldManager"] = action.manager or query["fieldManager"]
                if action.force:
                    query["force"] = "true"
                return await self._write("PATCH", path, query, _conditional(action), False, CONTENT_TYPES[action.type])
            case plan.Delete():
                query.pop("fieldManager")
                path = _path(kind, action.namespace, action.name)
                return await self._write("DELETE", path, query, _delete_options(action, options), False)

    async def get(self, kind: str, namespace: str, name: str) -> meta.Obj:
        found = await self._kind(kind)
        obj, _ = await self._ask("GET", _path(found, namespace, name), {})
        return obj

    async def list(self, kind: str, namespace: str | None = None, query: protocol.Query = protocol.Query()) -> protocol.Listing:
        found = await self._kind(kind)
        parameters = _selectors(query)
        if query.limit:
            parameters["limit"] = str(query.limit)
        if query.continue_token:
            parameters["continue"] = query.continue_token
        if query.revision is not None:
            parameters["resourceVersion"] = str(query.revision)
        body, _ = await self._ask("GET", _path(found, namespace or ""), parameters)
        head = {"apiVersion": found.api_version(), "kind": found.kind}
        items = tuple({**head, **item} for item in body.get("items") or ())
        metadata = meta.meta(body)
        return protocol.Listing(items, int(metadata.get("resourceVersion") or 0), str(metadata.get("continue", "")))

    async def watch(
        self, kind: str, revision: int, namespace: str | None = None, query: protocol.Query = protocol.Query()
    ) -> AsyncIterator[tuple[protocol.Event, ...]]:
        """Batches of events after `revision`, for ever. Raises StatusError 410 when it is compacted, Unknown."""
        found = await self._kind(kind)
        path = _path(found, namespace or "")
        while True:
            parameters = {**_selectors(query), "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": str(revision)}
            async for batch in self._stream(path, parameters):
                revision = batch[-1].revision
                yield batch

    async def roster(self) -> Roster:
        """The kinds known here that the server serves now."""
        served = set()
        for path in ("/api", "/apis"):
            accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            body, _ = await self._ask("GET", path, {}, accept=accept)
            for group in body.get("items") or ():
                for version in group.get("versions") or ():
                    served |= {(meta.name(group), version["version"], resource["resource"]) for resource in version.get("resources") or ()}
        wanted = [kind for kind in kinds.builtin() if (kind.group, kind.hub_version.name, kind.plural) in served]
        self._roster = Roster.of(wanted)
        return self._roster

    async def _kind(self, kind_id: str) -> Kind:
        roster = self._roster if self._roster is not None else await self.roster()
        found = roster.get(kind_id) or (await self.roster()).get(kind_id)
        if found is None:
            raise errors.StatusError(404, "NotFound", f"the server has no kind {kind_id}", details={})
        return found

    async def _write(
        self, method: str, path: str, query: dict[str, str], body: Any, is_status: bool, content_type: str = "application/json"
    ) -> protocol.Written:
        obj, headers = await self._ask(method, path, query, body, content_type)
        revision = headers.get(protocol.REVISION_HEADER) or ("0" if is_status else meta.resource_version(obj))
        return protocol.Written(obj, int(revision or 0))

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        headers = {"Content-Type": content_type} if body is not None else {}
        if accept:
            headers["Accept"] = accept
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        data = io.BytesIO(orjson.dumps(body)) if body is not None else None
        try:
            async with self._session.request(method, self._url + path, params=query, data=data, headers=headers, timeout=timeout) as answer:
                raw = await answer.read()
                return _understood(answer.status, raw), answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unknown(self._url, error) from error

    async def _stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[protocol.Event, ...]]:
        """The events of one watch request until it ends."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        try:
            async with self._session.get(self._url + path, params=query, timeout=timeout) as answer:
                if answer.status != 200:
                    _understood(answer.status, await answer.read())
                rest = b""
                async for piece in answer.content.iter_any():
                    *lines, rest = (rest + piece).split(b"\n")
                    if len(rest) > EVENT_MOST_BYTES:
                        raise protocol.Unknown(f"{self._url}: an event of more than {EVENT_MOST_BYTES} bytes")
                    if lines:
                        yield tuple(_event(line) for line in lines)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unknown(self._url, error) from error


def _unknown(url: str, error: Exception) -> protocol.Unknown:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        detail = "the certificates do not match: one may have expired, or the kubeconfig belongs to another server"
        return protocol.Unknown(f"{url}: {detail} ({error})")
    reason = "no answer in time" if isinstance(error, asyncio.TimeoutError) else str(error) or type(error).__name__
    return protocol.Unknown(f"{url}: {reason}")


def _understood(status: int, raw: bytes) -> dict[str, Any]:
    """The body of a good answer. Raises StatusError for any other."""
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        body = {}
    if status < 400:
        return body if isinstance(body, dict) else {}
    if not isinstance(body, dict) or body.get("kind") != "Status":
        text = raw[:200].decode("utf-8", "replace").strip()
        raise errors.StatusError(status, "", text or f"the server answered {status}")
    raise errors.StatusError.from_status(body)


def _event(line: bytes) -> protocol.Event:
    event = orjson.loads(line)
    obj = event["object"]
    if event["type"] == "ERROR":
        raise errors.StatusError.from_status(obj)
    return protocol.Event(event["type"], obj, meta.revision(obj))


def _path(kind: Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    version = kind.hub_version.name
    path = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    if kind.namespaced and namespace:
        path += f"/namespaces/{quote(namespace, safe='')}"
    path += f"/{kind.plural}"
    if name:
        path += f"/{quote(name, safe='')}"
    return f"{path}/{subresource}" if subresource else path


def _write_query(options: protocol.Options, name: str) -> dict[str, str]:
    query = {"fieldManager": options.manager or name, **{key: str(value) for key, value in options.extra.items()}}
    if options.dry_run:
        query["dryRun"] = "All"
    return query


def _selectors(query: protocol.Query) -> dict[str, str]:
    parameters = {}
    if query.label_selector:
        parameters["labelSelector"] = query.label_selector
    if query.field_selector:
        parameters["fieldSelector"] = query.field_selector
    return parameters


def _typed(kind: Kind, action: plan.Create | plan.Update) -> meta.Obj:
    """The body with apiVersion and kind; a subresource's body may be of another kind and says itself which."""
    if action.subresource not in ("", "status"):
        return action.body
    return {"apiVersion": kind.api_version(), "kind": kind.kind, **action.body}


def _conditional(action: plan.Patch) -> Any:
    """The patch with its preconditions in it."""
    if not action.uid and not action.resource_version:
        return action.patch
    wanted = {"uid": action.uid, "resourceVersion": action.resource_version}
    wanted = {key: value for key, value in wanted.items() if value}
    if action.type == "json":
        return [*({"op": "test", "path": f"/metadata/{key}", "value": value} for key, value in wanted.items()), *action.patch]
    return meta.put(action.patch, ("metadata",), {**meta.meta(action.patch), **wanted})


def _delete_options(action: plan.Delete, options: protocol.Options) -> dict[str, Any]:
    body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if action.grace_seconds is not None:
        body["gracePeriodSeconds"] = action.grace_seconds
    if action.propagation is not None:
        body["propagationPolicy"] = action.propagation
    if options.dry_run:
        body["dryRun"] = ["All"]
    preconditions = {"uid": action.uid, "resourceVersion": action.resource_version}
    preconditions = {key: value for key, value in preconditions.items() if value}
    return {**body, "preconditions": preconditions} if preconditions else body
