"""The objects of the kinds over HTTP: a routed request becomes a call, its outcome an answer.

One method per verb; what they decide on is the same objects.py, paging.py and watch.py that the in-process client
uses. Whatever is raised as StatusError is answered by chain.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web

from reconciler.api import bodies, deletion, envelope, logs, options, paging, requests, selecting, subresources, table, watching, wire
from reconciler.api.answers import WARNINGS, Answer, Content
from reconciler.api.apiserver import ApiServer
from reconciler.api.backend import NodeBackend
from reconciler.api.cache import Item
from reconciler.api.calls import Call, User
from reconciler.api.objects import Done
from reconciler.api.patching import Patch
from reconciler.client.protocol import REVISION_HEADER
from reconciler.kinds.scale import SCALE
from reconciler.model import errors, meta
from reconciler.store.types import Provenance

BINDINGS = "bindings"  # a second way to bind a pod, which the body names
OLD_BODIES = (("policy/v1beta1", "Eviction"),)  # of kinds that are served no more, but taken
ROWS_AT_ONCE = 200  # rows or items made between two turns of the event loop

PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set"
    " propagationPolicy=Orphan to suppress this warning"
)


class Resources:
    def __init__(self, server: ApiServer, node: NodeBackend | None) -> None:
        self.server = server
        self.node = node
        self.watching = watching.Watching(server)

    async def get(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer | web.StreamResponse:
        if route.subresource == "log":
            return await self._log(request, route, query)
        form = _form(request, route, query, many=False)
        call = self._call(request, route, user, "get", options.NO_OPTIONS)
        if route.subresource not in subresources.SAME_SHAPE:
            return self._scale(await self.server.subresources.get(call), form, call, query)
        if self.server.measured.answers(route.kind):
            measured = await self.server.measured.item(route.kind, route.namespace, route.name)
            if measured is None:
                raise call.not_found()
            return self._object(200, call, measured, form, query)
        cache, wanted = self.server.cache, query.one("resourceVersion")
        if wanted:
            await cache.at_least(options.revision(wanted))
        else:
            await cache.fresh()
        item = cache.get(route.kind.storage_id, route.namespace, route.name)
        if item is None:
            raise call.not_found()
        await self.server.objects.converter.prepare(call.kind, call.version, [item])
        return self._object(200, call, item, form, query)

    async def list_objects(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer:
        form = _form(request, route, query, many=True)
        call = self._call(request, route, user, "list", options.NO_OPTIONS)
        wanted, namespace = _listing(route, query, self.server.time.now()), self._namespace(route)
        if self.server.measured.answers(route.kind):
            found = await self.server.measured.items(route.kind)
            page = paging.computed(found, route.kind, namespace, wanted, self.server.cache.revision)
        else:
            page = await paging.page(self.server.cache, route.kind, namespace, wanted)
        return await self._page(call, page, form, query)

    async def create(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer:
        form = _form(request, route, query, many=False)
        wanted = options.write(query, "Create")
        call = self._call(request, route, user, "create", wanted)
        body = await self._body(request, route)
        if route.kind.id == BINDINGS:
            pods = self.server.roster.get("pods")
            assert pods is not None
            call = replace(call, kind=pods, version=pods.hub_version, name=meta.name(body.value), subresource="binding")
        if call.subresource:
            done, answer = await self.server.subresources.create(call, body.value or {})
            return _revised(self._any(201, answer, form, call), done)
        done = await self.server.objects.create(replace(call, name=""), body.value, body.duplicates, body.text)
        return _revised(self._object(201, call, done.item, form, query), done)

    async def update(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer:
        form = _form(request, route, query, many=False)
        wanted = options.write(query, "Update")
        call = self._call(request, route, user, "update", wanted)
        body = await self._body(request, route)
        if route.subresource not in subresources.SAME_SHAPE:
            done = await self.server.subresources.update(call, body.value or {})
            return _revised(self._scale(dict(done.item.obj), form, call, query), done)
        done = await self.server.objects.update(call, body.value, body.duplicates, body.text)
        return _revised(self._object(201 if done.created else 200, call, done.item, form, query), done)

    async def patch(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer:
        form = _form(request, route, query, many=False)
        patch_type = bodies.patch_type_of(request.headers.get("Content-Type", ""), is_custom=route.kind.custom)
        wanted = options.write(query, "Patch", apply=patch_type == "apply")
        call = self._call(request, route, user, "patch", wanted)
        body = bodies.parse_patch(await _read(request), patch_type)
        patch = Patch(type=patch_type, body=body.value, force=wanted.force, duplicates=body.duplicates)  # type: ignore[arg-type]
        if route.subresource not in subresources.SAME_SHAPE:
            done = await self.server.subresources.patch(call, patch)
            return _revised(self._scale(dict(done.item.obj), form, call, query), done)
        done = await self.server.objects.patch(call, patch)
        return _revised(self._object(201 if done.created else 200, call, done.item, form, query), done)

    async def delete(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer:
        wanted, dry_run = options.delete(query, await self._delete_body(request))
        call = replace(self._call(request, route, user, "delete", options.NO_OPTIONS), dry_run=dry_run, options=wanted.shown())
        form = _form(request, route, query, many=False)
        if route.kind.id == "jobs.batch" and wanted.propagation is None:
            call.warn(PODS_STAY)
        done = await self.server.objects.delete(call, wanted)
        if done.gone and route.kind.id not in deletion.RETURNS_OBJECT:
            return _revised(self._any(200, _success(call, done), replace(form, shape=""), call), done)
        return _revised(self._object(200, call, done.item, form, query), done)

    async def delete_collection(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> Answer:
        wanted, dry_run = options.delete(query, await self._delete_body(request))
        form = _form(request, route, query, many=True)
        call = replace(self._call(request, route, user, "deletecollection", options.NO_OPTIONS), dry_run=dry_run, options=wanted.shown())
        listing = _listing(route, query, self.server.time.now())
        page = await paging.page(self.server.cache, route.kind, self._namespace(route), listing)
        await self.server.objects.delete_collection(call, page.items, wanted)
        return await self._page(call, page, form, query)

    async def watch_objects(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> web.StreamResponse:
        form = _form(request, route, query, many=True)
        if form.media == wire.YAML:
            raise wire.not_acceptable(f"only the following media types are accepted: {wire.STREAM_REPRESENTATIONS}", None)
        return await self.watching.serve(request, route, self._namespace(route), form, query)

    async def _log(self, request: web.BaseRequest, route: requests.Route, query: options.Query) -> Answer | web.StreamResponse:
        await self.server.cache.fresh()
        item = self.server.cache.get("pods", route.namespace, route.name)
        if item is None:
            raise errors.not_found("pods", "", route.name)
        container = logs.container_of(item.obj, query.one("container"))
        wanted = logs.options_of(query, self.server.time.now())
        if not meta.spec(item.obj).get("nodeName"):
            return Answer(200, b"", content_type="text/plain")
        if self.node is None:
            raise errors.StatusError(503, "ServiceUnavailable", f"no node backend serves the log of pod {route.name}")
        pieces = self.node.logs(item.obj, container, wanted)
        first = await anext(pieces, b"")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if first:
            await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        return response

    async def _page(self, call: Call, page: paging.Page, form: wire.Form, query: options.Query) -> Answer:
        kind, version = call.kind, call.version

        async def in_slices(make: Callable[[Item], bytes]) -> list[bytes]:
            return await _in_slices(page.items, make, lambda items: self.server.objects.converter.prepare(kind, version, items))

        if form.shape == "PartialObjectMetadata":
            raise wire.not_acceptable(
                f"you requested PartialObjectMetadata, but the requested object is a list (*{_internal(call)}List)", None
            )
        if form.shape == "Table":
            include = query.one("includeObject")
            table.check_include(include)
            now = self.server.time.now()
            metadata = table.list_metadata(page.revision, page.token, page.remaining)
            head = table.head(kind, self.server.schemas, form.version, metadata)

            def part(item: Item) -> bytes:
                body = wire.json_of(kind, version, item) if include == "Object" else None
                return table.row(kind, form, include, item, body, now)

            parts = await in_slices(part)
        elif form.shape and not page.items:
            metadata = table.list_metadata(page.revision, page.token, page.remaining)
            empty = {"kind": "PartialObjectMetadataList", "apiVersion": f"{wire.TABLE_GROUP}/{form.version}", "metadata": metadata}
            return Answer.of(200, Content(wire.plain({**empty, "items": None})), form, call.warnings)
        elif form.shape:
            head = wire.list_head(
                "PartialObjectMetadataList", f"{wire.TABLE_GROUP}/{form.version}", page.revision, page.token, page.remaining
            )
            parts = await in_slices(lambda item: wire.plain(wire.partial(item, form.version)))
        else:
            api_version = kind.api_version(version.name)
            head = wire.list_head(kind.list_name, api_version, page.revision, page.token, page.remaining, custom=kind.custom)
            parts = await in_slices(lambda item: wire.list_item(kind, version, item))
        return await Answer.of_list(Content(head, parts, b"]}"), form, call.warnings)

    def _object(self, status: int, call: Call, item: Item, form: wire.Form, query: options.Query) -> Answer:
        if form.shape == "PartialObjectMetadataList":
            raise wire.not_acceptable(
                f"you requested PartialObjectMetadataList, but the requested object is not a list (*{_internal(call)})", None
            )
        if form.shape == "Table":
            include = query.one("includeObject")
            table.check_include(include)
            body = wire.json_of(call.kind, call.version, item) if include == "Object" else None
            row = table.row(call.kind, form, include, item, body, self.server.time.now())
            metadata = {"resourceVersion": str(item.revision)} if item.revision else {}
            content = table.head(call.kind, self.server.schemas, form.version, metadata) + row + b"]}"
        elif form.shape:
            content = wire.plain(wire.partial(item, form.version))
        else:
            content = wire.json_of(call.kind, call.version, item)
        return Answer.of(status, Content(content), form, call.warnings)

    def _scale(self, value: dict[str, Any], form: wire.Form, call: Call, query: options.Query) -> Answer:
        shown = replace(call, kind=SCALE, version=SCALE.hub_version)
        return self._object(200, shown, Item(value, 0, b""), form, query)

    def _any(self, status: int, value: dict[str, Any], form: wire.Form, call: Call) -> Answer:
        return Answer.of(status, Content(wire.plain(value)), form, call.warnings)

    def _call(self, request: web.BaseRequest, route: requests.Route, user: User, verb: str, wanted: options.Write) -> Call:
        agent = request.headers.get("User-Agent", "")
        manager = wanted.manager or _manager_of(agent)
        call = Call(
            kind=route.kind,
            version=route.version,
            namespace=route.namespace,
            name=route.name,
            subresource=route.subresource,
            user=user,
            manager=manager,
            dry_run=wanted.dry_run,
            field_validation=wanted.field_validation,
            options=_shown(verb, wanted),
            provenance=Provenance(actor=f"user/{user.name} ({manager})", why=verb),
        )
        request[WARNINGS] = call.warnings
        if route.version.deprecation:
            call.warn(route.version.deprecation)
        return call

    def _namespace(self, route: requests.Route) -> str | None:
        return route.namespace if route.namespace or not route.kind.namespaced else None

    async def admit_connection(self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query) -> None:
        """Let admission judge exec, attach, portforward and proxy. Raises StatusError."""
        await self.server.cache.fresh()
        call = self._call(request, route, user, "connect", options.NO_OPTIONS)
        sub = route.kind.subresource(route.subresource)
        assert sub is not None
        await self.server.objects.admitted(call, options.connection(sub.kind, query), "CONNECT")

    async def review(
        self, request: web.BaseRequest, route: requests.Route, user: User, query: options.Query, answer: Callable[[Call, bodies.Body], Any]
    ) -> Answer:
        """POST of a kind that is answered and never stored."""
        form = _form(request, route, query, many=False)
        call = self._call(request, route, user, "create", options.write(query, "Create"))
        body = await self._body(request, route)
        await self.server.cache.fresh()
        return self._any(201, answer(call, body), form, call)

    async def _body(self, request: web.BaseRequest, route: requests.Route) -> bodies.Body:
        raw = await _read(request)
        expected = _expected(route)
        body = bodies.parse(raw, request.headers.get("Content-Type", ""), expected)
        if route.subresource not in subresources.SAME_SHAPE:
            self._require(body, expected)
        if route.kind.custom and not route.subresource and isinstance(body.value, dict) and not body.value.get("kind"):
            text = raw.decode("utf-8", "replace")
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {route.kind.kind}): Object 'Kind' is missing in '{text}' ({text})"
            )
        return body

    def _require(self, body: bodies.Body, expected: bodies.Expected) -> None:
        """Raises StatusError 400 for a body of another kind; what it does not say it is."""
        said_version, said_kind = envelope.said(body.value)
        said = (said_version or expected.api_version, said_kind or expected.kind)
        if said not in ((expected.api_version, expected.kind), *OLD_BODIES):
            group = expected.api_version.rpartition("/")[0]
            raise errors.bad_request(envelope.foreign(self.server.roster, group, expected.kind, *said))

    async def _delete_body(self, request: web.BaseRequest) -> Any:
        return bodies.parse_delete_options(await _read(request), request.headers.get("Content-Type", ""))


def _expected(route: requests.Route) -> bodies.Expected:
    """What the body of a request to a kind, or to one of its subresources, is to be."""
    parent = route.kind.api_version(route.version.name)
    sub = route.kind.subresource(route.subresource) if route.subresource else None
    if sub is None or not sub.version:
        return bodies.Expected(parent, sub.kind if sub else route.kind.kind)
    return bodies.Expected(f"{sub.group}/{sub.version}" if sub.group else sub.version, sub.kind)


def _form(request: web.BaseRequest, route: requests.Route, query: options.Query, *, many: bool) -> wire.Form:
    form = wire.negotiate(request.headers.get("Accept", ""), many, not route.kind.custom)
    return replace(form, pretty=True) if query and query.one("pretty") in ("1", "true") else form


def _listing(route: requests.Route, query: options.Query, now: float) -> paging.Request:
    match, wanted, token = query.one("resourceVersionMatch"), query.one("resourceVersion"), query.one("continue")
    refused = []
    if match and match not in ("Exact", "NotOlderThan"):
        refused.append(errors.not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
    if match and not wanted:
        refused.append(errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if match and token:
        refused.append(errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
    if match == "Exact" and wanted == "0":
        refused.append(errors.forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if query.one("sendInitialEvents"):
        refused.append(errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if refused:
        raise errors.invalid_object("ListOptions", "meta.k8s.io", "", refused)
    limit, _ = query.integer("limit") or 0, query.integer("timeoutSeconds")  # a list never takes that long
    return paging.Request(
        labels=selecting.labels(query.one("labelSelector")),
        fields=selecting.fields(route.kind, query.one("fieldSelector")),
        limit=0 if wanted == "0" and not token else max(limit, 0),  # kube-apiserver's cache does not cut such a list
        token=token,
        revision=options.revision(wanted) if wanted else None,
        match=match,  # type: ignore[arg-type]
        now=now,
    )


def _shown(verb: str, wanted: options.Write) -> dict[str, Any]:
    """What was asked for with the verb, as admission sees it."""
    if wanted is options.NO_OPTIONS:
        return {}
    given = {"fieldManager": wanted.manager, "fieldValidation": wanted.field_validation, "force": wanted.force}
    return {"kind": f"{verb.capitalize()}Options", **{key: value for key, value in given.items() if value}}


def _manager_of(agent: str) -> str:
    """A field manager of a user agent: what is before the slash, printable, no longer than a manager may be."""
    return "".join(char for char in agent.split("/", 1)[0] if char.isprintable())[: options.MANAGER_MOST]


def _internal(call: Call) -> str:
    return f"{call.kind.group.split('.')[0] or 'core'}.{call.kind.kind}"


def _revised(answer: Answer, done: Done) -> Answer:
    """The answer with the revision of the write, which a Status does not carry."""
    return replace(answer, headers={**answer.headers, REVISION_HEADER: str(done.revision)})


def _success(call: Call, done: Done) -> dict[str, Any]:
    details = {"name": call.name}
    if call.kind.group:
        details["group"] = call.kind.group
    details.update({"kind": call.kind.plural, "uid": meta.uid(done.item.obj)})
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


async def _in_slices(
    items: Sequence[Item], make: Callable[[Item], bytes], prepare: Callable[[Sequence[Item]], Awaitable[None]]
) -> list[bytes]:
    """One piece for each item; long lists give way to others in between."""
    if len(items) <= ROWS_AT_ONCE:
        await prepare(items)
        return [make(item) for item in items]
    parts: list[bytes] = []
    for first in range(0, len(items), ROWS_AT_ONCE):
        await prepare(items[first : first + ROWS_AT_ONCE])
        parts += [make(item) for item in items[first : first + ROWS_AT_ONCE]]
        await asyncio.sleep(0)
    return parts


async def _read(request: web.BaseRequest) -> bytes:
    if not request.body_exists:
        return b""
    if request.content_length is not None and request.content_length > bodies.MOST_BYTES:
        raise bodies.too_large()
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise bodies.too_large() from None
    except ConnectionError:  # the client hung up in the middle: nobody reads the answer, and nothing is wrong here
        raise errors.bad_request("unexpected EOF") from None
