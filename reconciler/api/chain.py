"""The path of every request over HTTP, in order:

request info -> authenticate -> authorise -> limits -> the verb (admission, validation and compare-and-put: objects.py)
-> answer. Whatever refuses does so with a StatusError, which becomes the Status that Kubernetes' clients expect.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from reconciler.api import discovery, fairness, health, metrics, openapi, openapi_protobuf, options, requests, resources, reviews, wire
from reconciler.api.aggregation import aggregator, described
from reconciler.api.aggregation import documents as external
from reconciler.api.answers import WARNINGS, Answer, Content
from reconciler.api.apiserver import ApiServer
from reconciler.api.auth import attributes, authentication, authorisation, impersonation
from reconciler.api.calls import User
from reconciler.api.connect import connecting
from reconciler.client import protocol
from reconciler.kit import definitions
from reconciler.model import errors
from reconciler.model.roster import Roster

log = logging.getLogger(__name__)

KUBERNETES = "1.36.2"
NOT_FOUND_PAGE = "404 page not found\n"
OPEN_PATHS = ("/healthz", "/livez", "/readyz")
OWN_PREFIX = "/reconciler/"
OPENAPI_V3 = "/openapi/v3/"
YEAR_SECONDS = 365 * 86_400
Handler = Callable[[web.BaseRequest, requests.Route, User, options.Query], Awaitable[Answer | web.StreamResponse]]
# What is ours beside Kubernetes' paths: (method, decoded parts behind /reconciler/, body) -> answer.
OwnPaths = Callable[[str, list[str], Mapping[str, Any]], Awaitable[dict[str, Any]]]


class Documents:
    """What is derived from one roster."""

    def __init__(self, roster: Roster, server: ApiServer, address: str) -> None:
        self.roster = roster
        self.router = requests.Router(roster)
        self.discovery = discovery.Discovery(roster, address)
        self.openapi = openapi.OpenApi(roster, server.schemas.definitions, KUBERNETES, definitions.enums())
        self._merged: dict[bool, tuple[list[str], bytes]] = {}  # OpenAPI v2 with other servers' kinds, in both forms, and of what

    def openapi_v2(self, served: Sequence[external.Served], as_protobuf: bool) -> bytes:
        if not served:
            return self.openapi.v2_protobuf if as_protobuf else self.openapi.v2
        hashes = [one.openapi_hash for one in served]
        if as_protobuf not in self._merged or self._merged[as_protobuf][0] != hashes:
            whole = described.merged(orjson.loads(self.openapi.v2), served)
            self._merged[as_protobuf] = hashes, openapi_protobuf.encode(whole) if as_protobuf else orjson.dumps(whole)
        return self._merged[as_protobuf][1]

    def is_built_in(self, group: str) -> bool:
        return any(kind.group == group and not kind.custom for kind in self.roster)


class Chain:
    """Serves requests; `address` is what discovery tells clients to talk to, `nobody` whom requests without credentials are of."""

    def __init__(
        self,
        server: ApiServer,
        tokens: authentication.Tokens,
        limits: fairness.Limits,
        objects: resources.Resources,
        connecting: connecting.Connecting,
        aggregation: aggregator.Aggregator,
        address: str,
        own_paths: OwnPaths | None = None,
        nobody: User | None = authentication.ANONYMOUS,
    ) -> None:
        self.server = server
        self.aggregation = aggregation
        self.own_paths = own_paths
        self.nobody = nobody
        self.tokens = tokens
        self.limits = limits
        self.objects = objects
        self.connecting = connecting
        self.address = address
        self._reviews = reviews.Reviews(server.decoder, server.objects.owners, server.rbac, tokens, server.accounts, server.time)
        self._documents = Documents(server.roster, server, address)
        self._health = health.Health(_checks(server))
        self._handlers: Mapping[str, Handler] = {
            "get": objects.get,
            "list": objects.list_objects,
            "watch": objects.watch_objects,
            "create": self._create,
            "update": objects.update,
            "patch": objects.patch,
            "delete": objects.delete,
            "deletecollection": objects.delete_collection,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        started = time.perf_counter()
        target = metrics.Target(request.method, "", "", "", "", "")
        dry_run = ""
        try:
            path, _, text = request.raw_path.partition("?")
            user = await self._user(request)
            query = options.Query.parse(text)
            if authorisation.MASTERS not in user.groups:
                authorisation.require(self.server.rbac.decide, user, attributes.asked_of(request.method, path, query))
            remote = self.aggregation.remote(path)
            route = self.documents.router.route(path) if remote is None else None
            if remote is not None:
                answer: Answer | web.StreamResponse = await self.aggregation.forwarder.forward(request, user, remote)
            elif route is None and path.startswith(OWN_PREFIX) and self.own_paths is not None:
                answer = await self._own(self.own_paths, request, path)
            elif route is None:
                answer = self._path(request, unquote(path), query)
            else:
                verb = _verb(request.method, route, query)
                target = metrics.Target(
                    verb.upper(), route.kind.group, route.version.name, route.kind.plural, route.subresource, route.scope
                )
                dry_run = query.one("dryRun")
                answer = await self._resource(request, route, verb, user, query, target)
        except errors.StatusError as error:
            answer = Answer.refusal(error, _media(request), request.get(WARNINGS, ()))
        except protocol.Unknown as error:
            answer = Answer.refusal(errors.StatusError(500, "InternalError", str(error)), _media(request))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("request failed", extra={"facts": {"method": request.method, "path": request.raw_path[:200]}})
            answer = Answer.refusal(errors.StatusError(500, "InternalError", "an error on the server, see its log"), _media(request))
        response = await answer.send(request) if isinstance(answer, Answer) else answer
        metrics.observe(target, dry_run, response.status, time.perf_counter() - started, _size(answer))
        return response

    @property
    def documents(self) -> Documents:
        """Made anew when a definition changed the roster."""
        if self._documents.roster is not self.server.roster:
            self._documents = Documents(self.server.roster, self.server, self.address)
        return self._documents

    async def _user(self, request: web.BaseRequest) -> User:
        """Who the request is judged as. Raises StatusError 401, and what impersonation refuses."""
        user = self._authenticated(request)
        if authorisation.MASTERS not in user.groups:
            await self.server.cache.fresh()  # a role given before the request began counts
        if any(header[:12].lower() == "impersonate-" for header in request.headers):
            await self.server.cache.fresh()
            return impersonation.user_of(request.headers, user, self.server.rbac.decide)
        return user

    def _authenticated(self, request: web.BaseRequest) -> User:
        """Raises StatusError 401 for wrong credentials, and for none where nobody is not served."""
        authorization = request.headers.get("Authorization")
        user = authentication.of_header(authorization or "", self.tokens, self.server.accounts.user_of)
        if user is None and authorization != "":
            user = request.protocol.known()  # type: ignore[attr-defined]
        user = user or self.nobody
        if user is None:
            raise authentication.unauthorized()
        return user

    async def _resource(
        self, request: web.BaseRequest, route: requests.Route, verb: str, user: User, query: options.Query, target: metrics.Target
    ) -> Answer | web.StreamResponse:
        allowed = route.kind.verbs if not route.subresource else _sub_verbs(route)
        if route.name and not route.subresource and allowed == ("create",):
            raise requests.no_such_resource()
        if verb == "watch" and verb not in allowed:
            request[WARNINGS] = [route.version.deprecation] if route.version.deprecation else []
            raise _unsupported(route, verb)
        if route.kind.custom and route.subresource and verb not in allowed:
            raise _unsupported(route, verb)
        if verb not in allowed or (verb == "create" and bool(route.name) != bool(route.subresource)):
            raise requests.no_such_method()
        if route.kind.namespaced and not route.namespace and verb not in ("list", "watch"):
            raise requests.no_such_method()
        if route.subresource in connecting.SUBRESOURCES:
            if route.subresource in connecting.STREAMING and authorisation.MASTERS not in user.groups:
                asked = attributes.asked_of(request.method, request.raw_path.partition("?")[0], query)
                authorisation.require(self.server.rbac.decide, user, replace(asked, verb="create"))
            await self.objects.admit_connection(request, route, user, query)
            with metrics.LONG_RUNNING.labels(*target, "apiserver").track_inprogress():
                return await self.connecting.serve(request, route, query)
        handler = self._handlers[verb]
        if verb == "watch" or (route.subresource == "log" and query.flag("follow")):
            gauge = metrics.LONG_RUNNING.labels(*target, "apiserver")
            with gauge.track_inprogress():
                return await handler(request, route, user, query)
        with self.limits.room_for(mutating=verb not in ("get", "list")):
            return await handler(request, route, user, query)

    async def _create(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer:
        if route.subresource or not self._reviews.answers(route.kind.id):
            return await self.objects.create(request, route, user, query)
        return await self.objects.review(request, route, user, query, self._reviews.answer)

    async def _own(self, own_paths: OwnPaths, request: web.BaseRequest, path: str) -> Answer:
        text = await request.read()
        try:
            body = orjson.loads(text) if text else {}
        except orjson.JSONDecodeError as error:
            raise errors.bad_request(f"the body is no JSON: {error}") from error
        parts = [unquote(part) for part in path.removeprefix(OWN_PREFIX).split("/")]
        found = await own_paths(request.method, parts, body if isinstance(body, dict) else {})
        return Answer.of(200, Content(wire.plain(found)), wire.negotiate("application/json", False))

    def _path(self, request: web.BaseRequest, path: str, query: options.Query) -> Answer:
        """Everything that is no resource: discovery, OpenAPI, health, version."""
        if path.startswith(OPEN_PATHS):
            return self._health.answer(path, query.get("exclude", []), "verbose" in query) or Answer.text(404, NOT_FOUND_PAGE)
        accept = request.headers.get("Accept", "")
        document = self._document(path, accept)
        if document is None:
            return Answer.text(404, NOT_FOUND_PAGE)
        if request.method != "GET":
            raise requests.no_such_method()
        if isinstance(document, Answer):
            return self._kept(request, path, document, query.one("hash"))
        return Answer.of(200, Content(wire.plain(document)), _document_form(accept, path))

    def _kept(self, request: web.BaseRequest, path: str, document: Answer, wanted: str) -> Answer:
        """Documents are revalidated by their hash; one that is asked for by it never changes."""
        if document.status != 200:
            return document
        if document.content_type == discovery.AGGREGATED:
            return document.kept(request, "public")
        if not wanted or not path.startswith(OPENAPI_V3):
            return document.kept(request)
        if wanted != document.digest:
            return Answer(301, b"", content_type="", headers={"Location": f"{path}?hash={document.digest}"})
        expires = formatdate(self.server.time.now() + YEAR_SECONDS, usegmt=True)
        return replace(document, headers={"Expires": expires}).kept(request, "public, immutable")

    def _document(self, path: str, accept: str) -> dict[str, Any] | Answer | None:
        documents = self.documents
        stripped = path[:-1] if path.endswith("/") and len(path) > 1 else path
        parts = stripped.split("/")[1:]
        match parts:
            case [""]:
                return {"paths": self._paths()}
            case ["version"]:
                return discovery.version_info(KUBERNETES)
            case ["api"]:
                return _aggregated(documents.discovery.aggregated_core, accept) or documents.discovery.api_versions
            case ["apis"]:
                return self._groups(accept)
            case ["api", version]:
                return documents.discovery.resources("", version) or _refuse_version()
            case ["apis", group]:
                return documents.discovery.group(group) or self._external_group(group)
            case ["apis", group, version] if group in documents.router.groups:
                return documents.discovery.resources(group, version) or (_refuse_version() if documents.is_built_in(group) else None)
            case ["openapi", "v2"]:
                return self._openapi_v2(any(name in accept for name in (openapi_protobuf.MEDIA, openapi_protobuf.ANSWERED_AS)))
            case ["openapi", "v3"]:
                paths = {**documents.openapi.index["paths"], **external.openapi_paths(self.aggregation.served)}
                return {"paths": dict(sorted(paths.items()))}
            case ["openapi", "v3", *rest]:
                found = documents.openapi.document("/".join(rest))
                return Answer(200, found) if found is not None else Answer(404, b"", content_type="")
            case [".well-known", "openid-configuration"]:
                return self.server.accounts.discovery(self.address)
            case ["openid", "v1", "jwks"]:
                return Answer(200, wire.plain(self.server.accounts.keys()), content_type="application/jwk-set+json")
        return None

    def _openapi_v2(self, as_protobuf: bool) -> Answer:
        """One document of all kinds, those of other servers too."""
        served = [one for one in self.aggregation.served if one.is_available and one.schemas]
        content = self.documents.openapi_v2(served, as_protobuf)
        return Answer(200, content, content_type=openapi_protobuf.ANSWERED_AS) if as_protobuf else Answer(200, content)

    def _groups(self, accept: str) -> dict[str, Any] | Answer:
        """/apis: the groups that are served here, then those of other servers."""
        own, served = self.documents.discovery, self.aggregation.served
        everything, groups = own.aggregated_groups, own.group_list
        if served:
            mine = set(own.groups)
            more = [item for item in external.aggregated(served) if item["metadata"]["name"] not in mine]
            everything = {**everything, "items": [*everything["items"], *more]}
            groups = {**groups, "groups": [*groups["groups"], *(one for one in external.groups(served) if one["name"] not in mine)]}
        return _aggregated(everything, accept) or groups

    def _external_group(self, name: str) -> dict[str, Any] | None:
        found = next((group for group in external.groups(self.aggregation.served) if group["name"] == name), None)
        return {"kind": "APIGroup", "apiVersion": "v1", **found} if found is not None else None

    def _paths(self) -> list[str]:
        groups = [f"/apis/{group}" for group in self.documents.discovery.groups]
        return [
            "/.well-known/openid-configuration",
            "/api",
            "/api/v1",
            "/apis",
            *groups,
            "/healthz",
            "/livez",
            "/openapi/v2",
            "/openapi/v3",
            "/openid/v1/jwks",
            "/readyz",
            "/version",
        ]


def _verb(method: str, route: requests.Route, query: options.Query) -> str:
    """Raises StatusError 405 for a method that Kubernetes' resources do not have."""
    if route.subresource == "proxy" and method in ("HEAD", "OPTIONS"):
        return "get"
    if method == "GET":
        if route.watch or (query.flag("watch") and not route.name):
            return "watch"
        return "get" if route.name else "list"
    verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete" if route.name else "deletecollection"}.get(method)
    if verb is None or (verb in ("update", "patch") and not route.name):
        raise requests.no_such_method()
    return verb


def _unsupported(route: requests.Route, verb: str) -> errors.StatusError:
    details = {**({"group": route.kind.group} if route.kind.group else {}), "kind": route.kind.plural}
    return errors.StatusError(405, "MethodNotAllowed", f'{verb} is not supported on resources of kind "{route.kind.id}"', details=details)


def _sub_verbs(route: requests.Route) -> tuple[str, ...]:
    sub = route.kind.subresource(route.subresource)
    assert sub is not None
    return sub.verbs


def _aggregated(document: dict[str, Any], accept: str) -> Answer | None:
    """The aggregated document where the client asks for it."""
    for part in accept.split(","):
        pieces = {piece.strip() for piece in part.split(";")}
        if {"as=APIGroupDiscoveryList", "g=apidiscovery.k8s.io", "v=v2"} <= pieces:
            return Answer(200, wire.plain(document), content_type=discovery.AGGREGATED)
    return None


def _document_form(accept: str, path: str) -> wire.Form:
    only = f"only the following media types are accepted: {wire.REPRESENTATIONS}"
    try:
        form = wire.negotiate(accept, False, has_protobuf=path.startswith("/api"))
    except errors.StatusError:
        if path.startswith("/apis") and path.rstrip("/").count("/") < 3:
            raise wire.not_acceptable(only, None) from None
        raise
    if form.shape:
        raise wire.not_acceptable(only, None)
    if path.startswith("/version") and form.media == wire.YAML:
        raise wire.not_acceptable("406: Not Acceptable\n\nAvailable representations: application/json", {})
    return form


def _refuse_version() -> dict[str, Any]:
    raise requests.no_such_resource()


def _media(request: web.BaseRequest) -> wire.Media:
    """The media type for an error: what was asked for if it can be had, else JSON."""
    try:
        return wire.negotiate(request.headers.get("Accept", ""), False, has_shapes=False).media
    except errors.StatusError:
        return wire.JSON


def _size(answer: Answer | web.StreamResponse) -> int:
    if isinstance(answer, Answer):
        return len(answer.content) if isinstance(answer.content, bytes) else answer.content.size_bytes
    return 0


def _checks(server: ApiServer) -> dict[str, dict[str, health.Check]]:
    def fine() -> bool:
        return True

    live = {"ping": fine, "log": fine, "etcd": fine, "poststarthook/generic-apiserver-start-informers": fine}
    ready = {**live, "informer-sync": lambda: server.is_ready, "shutdown": lambda: server.is_ready}
    return {"healthz": live, "livez": live, "readyz": ready}
