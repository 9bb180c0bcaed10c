"""Custom resources whose versions a webhook converts: every verb in the other version, and what failures say."""

import pathlib
from typing import Any

import orjson
import pytest

from tests import hooks
from tests.unit.api.test_reviews import Clients, serving

GROUP = "example.com"
THINGS = f"/apis/{GROUP}"
SCHEMA = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}


def definition(hook: hooks.Hooks, storage: str = "v1") -> dict[str, Any]:
    webhook = {"clientConfig": hook.config(), "conversionReviewVersions": ["v1"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": name, "served": True, "storage": name == storage, "schema": SCHEMA} for name in ("v1", "v2")],
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }


def thing(version: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{version}", "kind": "Thing", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def converting(asked: dict[str, Any]) -> dict[str, Any]:
    """v1 has spec.hostPort, v2 spec.host and spec.port."""
    request = asked["request"]
    made = []
    for obj in request["objects"]:
        spec = obj.get("spec") or {}
        if request["desiredAPIVersion"].endswith("v2"):
            host, _, port = spec.get("hostPort", "").partition(":")
            spec = {"host": host, "port": port}
        else:
            spec = {"hostPort": f"{spec.get('host', '')}:{spec.get('port', '')}"}
        made.append({**obj, "apiVersion": request["desiredAPIVersion"], "spec": spec})
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": made}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}


def path(version: str, name: str = "") -> str:
    return f"{THINGS}/{version}/namespaces/default/things" + (f"/{name}" if name else "")


async def served(clients: Clients, version: str = "v2") -> None:
    for _ in range(500):
        if (await clients.ask("GET", path(version)))[0] == 200:
            return
    raise AssertionError("the definition is not served")


async def test_every_verb_speaks_both_versions(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, converting) as hook, serving(tmp_path) as clients:
        await clients.make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(hook))
        await served(clients)
        assert (await clients.make(path("v2"), thing("v2", "b", host="b", port="2")))["spec"] == {"host": "b", "port": "2"}
        await clients.make(path("v1"), thing("v1", "a", hostPort="a:1"))
        assert (await clients.ask("GET", path("v1", "b")))[1]["spec"] == {"hostPort": "b:2"}
        found = (await clients.ask("GET", path("v2")))[1]["items"]
        assert [(one["apiVersion"], one["spec"]) for one in found] == [
            ("example.com/v2", {"host": "a", "port": "1"}),
            ("example.com/v2", {"host": "b", "port": "2"}),
        ]
        status, patched = await clients.ask("PATCH", path("v2", "a"), {"spec": {"port": "9"}}, Content_Type="application/merge-patch+json")
        assert (status, patched["spec"]) == (200, {"host": "a", "port": "9"})
        assert (await clients.ask("GET", path("v1", "a")))[1]["spec"] == {"hostPort": "a:9"}
        assert patched["metadata"]["name"] == "a"
        assert hook.asked[0]["request"]["desiredAPIVersion"] == "example.com/v1"


async def test_watches_see_converted_objects_in_order(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, converting) as hook, serving(tmp_path) as clients:
        await clients.make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(hook))
        await served(clients)
        for index in range(3):
            await clients.make(path("v1"), thing("v1", f"t{index}", hostPort=f"h:{index}"))
        watched = await clients.stream(path("v2") + "?watch=1&resourceVersion=0")
        await clients.make(path("v1"), thing("v1", "late", hostPort="h:9"))
        seen = [orjson.loads(await watched.content.readline()) for _ in range(4)]
        assert [(event["type"], event["object"]["spec"]["port"]) for event in seen] == [("ADDED", port) for port in "0129"]
        watched.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, "failed: no response provided"),
        ({"result": {"status": "Failure", "message": "no way"}}, "failed: no way"),
        ({"result": {"status": "Success"}, "convertedObjects": []}, "returned 0 objects, expected 1"),
        (
            {"result": {"status": "Success"}, "convertedObjects": [thing("v1", "x")]},
            "returned invalid converted object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v1)",
        ),
        (
            {"result": {"status": "Success"}, "convertedObjects": [thing("v2", "other")]},
            "returned invalid converted object at index 0: must have the same name: other != a",
        ),
    ],
)
async def test_failures_are_told(tmp_path: pathlib.Path, answer: dict[str, Any], told: str) -> None:
    def answering(asked: dict[str, Any]) -> dict[str, Any]:
        return {"response": {"uid": asked["request"]["uid"], **answer}} if answer else {}

    async with hooks.serving(tmp_path, answering) as hook, serving(tmp_path) as clients:
        await clients.make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(hook))
        await served(clients, "v1")
        await clients.make(path("v1"), thing("v1", "a", hostPort="a:1"))
        status, refused = await clients.ask("GET", path("v2", "a"))
        assert status == 500
        assert refused["message"] == f"conversion webhook for example.com/v1, Kind=Thing {told}"


async def test_a_new_storage_version_reads_the_old_objects(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, converting) as hook, serving(tmp_path) as clients:
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await clients.make(definitions, definition(hook))
        await served(clients)
        await clients.make(path("v1"), thing("v1", "a", hostPort="a:1"))
        change = {"spec": {"versions": definition(hook, "v2")["spec"]["versions"]}}
        name = f"{definitions}/things.{GROUP}"
        status, changed = await clients.ask("PATCH", name, change, Content_Type="application/merge-patch+json")
        assert (status, changed["status"]["storedVersions"]) == (200, ["v1", "v2"])
        assert (await clients.ask("GET", path("v1", "a")))[1]["spec"] == {"hostPort": "a:1"}
        found = (await clients.ask("GET", path("v2", "a")))[1]
        assert found["spec"] == {"host": "a", "port": "1"}
        # A storage migration writes every object back as it is: once that makes a revision, but never a generation.
        moved = (await clients.ask("PUT", path("v2", "a"), found))[1]
        again = (await clients.ask("PUT", path("v2", "a"), moved))[1]
        assert moved["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]
        assert again["metadata"]["generation"] == 1
        merge = {"Content_Type": "application/merge-patch+json"}
        without = {"spec": {"versions": [one for one in definition(hook, "v2")["spec"]["versions"] if one["name"] == "v2"]}}
        status, refused = await clients.ask("PATCH", name, without, **merge)
        assert (status, "must remain in spec.versions until a storage migration" in refused["message"]) == (422, True)
        assert (await clients.ask("PATCH", f"{name}/status", {"status": {"storedVersions": ["v2"]}}, **merge))[0] == 200
        assert (await clients.ask("PATCH", name, without, **merge))[0] == 200
        assert (await clients.ask("GET", path("v2", "a")))[1]["spec"] == {"host": "a", "port": "1"}
