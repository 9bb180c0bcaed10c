"""An external API server behind an APIService, over real TLS: what it is told, what clients see of it."""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from reconciler.api import openapi_protobuf
from reconciler.api.cache import Item
from reconciler.model import conditions, meta
from tests import hooks
from tests.unit.api.test_reviews import Clients, serving

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP = "wardle.example.com"
LISTED = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/v1",
    "resources": [
        {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": ["get", "list", "patch"]},
        {"name": "flunders/status", "singularName": "", "namespaced": True, "kind": "Flunder", "verbs": ["get"]},
    ],
}
SCHEMAS = {
    "com.example.wardle.v1.Flunder": {
        "description": "What is flundered.",
        "type": "object",
        "required": ["spec", 7],
        "properties": {
            "metadata": {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}], "default": {}},
            "spec": {"type": "object", "additionalProperties": {"type": "string", "nullable": True}},
            "odd": ["no schema"],
        },
        "x-kubernetes-group-version-kind": [{"group": "wardle.example.com", "kind": "Flunder", "version": "v1"}],
    },
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "string"},
    "broken": 5,
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def answering(asked: dict[str, Any]) -> Any:
    path = str(asked.get("path", "")).partition("?")[0]
    if path == f"/apis/{GROUP}/v1":
        return LISTED
    if path == f"/openapi/v3/apis/{GROUP}/v1":
        return {"openapi": "3.0.0", "paths": {}, "components": {"schemas": SCHEMAS}}
    if path.endswith("/flunders") or "kind" in asked:
        return {"kind": "FlunderList", "asked": asked}
    return web.Response(status=418, text="no tea", headers={"X-Own": "yes"})


@contextlib.asynccontextmanager
async def aggregated(folder: pathlib.Path) -> AsyncIterator[tuple[Clients, hooks.Hooks]]:
    async with serving(folder) as clients:
        _, published = await clients.ask("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
        believed = published["data"]["requestheader-client-ca-file"].encode()
        assert published["data"]["requestheader-allowed-names"] == '["front-proxy-client"]'
        async with hooks.serving(folder, answering, "wardle.default.svc", client_authority=believed) as hook:
            ports = [{"port": 443, "name": "https"}]
            await clients.make("/api/v1/namespaces/default/services", {"metadata": {"name": "wardle"}, "spec": {"ports": ports}})
            slice_ = {
                "metadata": {"name": "wardle-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "wardle"}},
                "endpoints": [{"addresses": ["127.0.0.1"]}],
                "ports": [{"name": "https", "port": hook.port}],
            }
            clients.api.cache.shelf("endpointslices.discovery.k8s.io").put("default/wardle-1", Item(slice_, 1, b""))
            spec = {"group": GROUP, "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10, "caBundle": hook.authority}
            reference = {"service": {"name": "wardle", "namespace": "default"}}
            await clients.make(SERVICES, {"metadata": {"name": f"v1.{GROUP}"}, "spec": {**spec, **reference}})
            yield clients, hook


def available(service: dict[str, Any]) -> str:
    found = conditions.find(meta.status(service).get("conditions") or (), "Available")
    return f"{found['status']} {found['reason']}" if found is not None else ""


async def test_requests_and_discovery_reach_the_external_server(tmp_path: pathlib.Path) -> None:
    async with aggregated(tmp_path) as (clients, hook):
        await clients.eventually(f"{SERVICES}/v1.{GROUP}", lambda service: available(service) == "True Passed")
        path = f"/apis/{GROUP}/v1/namespaces/default/flunders"
        headers = {"Impersonate_User": "joe", "Impersonate_Group": "system:masters", "Impersonate_Extra_Scopes": "a"}
        status, answer = await clients.ask("GET", f"{path}?limit=5", **headers, X_Remote_User="evil")
        assert (status, answer["asked"]) == (200, {"path": f"{path}?limit=5", "method": "GET"})
        told = hook.headers[-1]
        assert (told["X-Remote-User"], told["X-Remote-Group"], told["X-Remote-Extra-scopes"]) == ("joe", "system:masters", "a")
        assert not {name for name in told if name.lower().startswith(("authorization", "impersonate"))}
        assert (await clients.ask("POST", path, {"kind": "Flunder", "a": 1}))[1]["asked"] == {"kind": "Flunder", "a": 1}
        assert (await clients.ask("GET", f"{path}/none"))[0] == 418
        assert (await clients.ask("GET", path, token="jane"))[0] == 403
        groups = {group["name"]: group for group in (await clients.ask("GET", "/apis"))[1]["groups"]}
        assert groups[GROUP]["preferredVersion"] == {"groupVersion": f"{GROUP}/v1", "version": "v1"}
        assert (await clients.ask("GET", f"/apis/{GROUP}"))[1]["kind"] == "APIGroup"
        assert (await clients.ask("GET", f"/apis/{GROUP}/v1"))[1] == LISTED
        items = (await clients.ask("GET", "/apis", Accept=AGGREGATED))[1]["items"]
        (flunders,) = next(item for item in items if item["metadata"]["name"] == GROUP)["versions"][0]["resources"]
        assert [sub["subresource"] for sub in flunders["subresources"]] == ["status"]
        index = (await clients.ask("GET", "/openapi/v3"))[1]["paths"]
        assert (await clients.ask("GET", index[f"apis/{GROUP}/v1"]["serverRelativeURL"]))[1]["openapi"] == "3.0.0"


async def test_older_clients_find_the_external_kinds(tmp_path: pathlib.Path) -> None:
    async with aggregated(tmp_path) as (clients, _):
        name = "com.example.wardle.v1.Flunder"
        whole = await clients.eventually("/openapi/v2", lambda document: name in document["definitions"])
        flunder = whole["definitions"][name]
        assert flunder["properties"]["metadata"] == {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
        assert (flunder["required"], flunder["properties"]["spec"]["additionalProperties"]) == (["spec"], {"type": "string"})
        assert whole["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["type"] == "object"
        patch = whole["paths"][f"/apis/{GROUP}/v1/namespaces/{{namespace}}/flunders/{{name}}"]["patch"]
        assert patch["x-kubernetes-group-version-kind"]["kind"] == "Flunder"
        status, packed = await clients.bytes("/openapi/v2", Accept=openapi_protobuf.MEDIA)
        assert (status, name.encode() in packed) == (200, True)


async def test_a_switch_of_protocols_reaches_the_external_server(tmp_path: pathlib.Path) -> None:
    async with aggregated(tmp_path) as (clients, hook):
        async with clients.socket(f"/apis/{GROUP}/v1/namespaces/default/flunders/a/exec") as socket:
            await socket.send_bytes(b"abc")
            assert await socket.receive_bytes() == b"cba"
        told = next(headers for headers in hook.headers if "Upgrade" in headers)
        assert (told["X-Remote-User"], told["X-Remote-Group"]) == ("root", "system:masters")
        assert not {name for name in told if name.lower() == "authorization"}


async def test_a_server_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    async with serving(tmp_path) as clients:
        spec = {"group": GROUP, "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10, "insecureSkipTLSVerify": True}
        reference = {"service": {"name": "none", "namespace": "default"}}
        await clients.make(SERVICES, {"metadata": {"name": f"v1.{GROUP}"}, "spec": {**spec, **reference}})
        await clients.eventually(f"{SERVICES}/v1.{GROUP}", lambda service: available(service) == "False ServiceNotFound")
        status, refused = await clients.ask("GET", f"/apis/{GROUP}/v1/flunders")
        assert status == 503
        assert refused["message"] == 'error trying to reach service: service "none" not found'


async def test_the_servers_own_groups_are_listed(tmp_path: pathlib.Path) -> None:
    async with serving(tmp_path) as clients:
        apps = await clients.eventually(f"{SERVICES}/v1.apps", lambda service: "spec" in service)
        assert available(apps) == "True Local"
        assert apps["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
        await clients.ask("DELETE", f"{SERVICES}/v1.apps")
        await clients.eventually(f"{SERVICES}/v1.apps", lambda service: "spec" in service and meta.uid(service) != meta.uid(apps))
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        names = {"plural": "things", "kind": "Thing"}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.com"},
            "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]},
        }
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await clients.make(definitions, definition)
        await clients.eventually(f"{SERVICES}/v1.example.com", lambda service: "spec" in service)
        await clients.ask("DELETE", f"{definitions}/things.example.com")
        await clients.eventually(f"{SERVICES}/v1.example.com", lambda service: service.get("code") == 404)
