"""Webhooks over real TLS: what they are asked, what their answers do, and what happens when they fail."""

import asyncio
import base64
import pathlib
import ssl
from typing import Any

import orjson
import pytest
from aiohttp import web

from reconciler.api.auth import certificates
from reconciler.api.cache import Item
from reconciler.kit import clock
from reconciler.model import errors, meta
from tests import hooks
from tests.unit.api.test_reviews import serving
from tests.unit.api.world import World, config_map, pod, service, world

RULE = {"operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps", "pods"]}


def webhook(name: str, config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "clientConfig": config, "rules": [RULE], "sideEffects": "None", "admissionReviewVersions": ["v1"], **more}


async def register(w: World, kind: str, name: str, *webhooks: dict[str, Any]) -> None:
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration", "metadata": {"name": name}}
    plural = f"{kind.lower()}webhookconfigurations.admissionregistration.k8s.io"
    await w.create(plural, {**body, "webhooks": list(webhooks)})
    await w.server.cache.fresh()


def label(key: str, value: str = "x") -> dict[str, Any]:
    return {"op": "add", "path": f"/metadata/labels/{key}", "value": value}


def labelled(name: str, **labels: str) -> dict[str, Any]:
    return config_map(name, labels={"app": "x", **labels})


async def test_a_mutating_webhook_changes_what_is_stored(tmp_path: pathlib.Path) -> None:
    async with (
        hooks.serving(tmp_path, lambda asked: hooks.allowing(asked, label("by", "hook"), warnings=["mind this"])) as hook,
        world() as w,
    ):
        await register(w, "Mutating", "m", webhook("a.example.com", hook.config()))
        made = await w.create("configmaps", labelled("c"))
        assert meta.labels(made) == {"app": "x", "by": "hook"}
        asked = hook.asked[0]["request"]
        assert (asked["operation"], asked["name"], asked["namespace"], asked["oldObject"]) == ("CREATE", "c", "default", None)
        assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
        assert asked["object"]["metadata"]["labels"] == {"app": "x"}
        assert asked["userInfo"]["username"] == "system:reconciler"
        assert asked["options"]["kind"] == "CreateOptions"
        assert asked["dryRun"] is False


async def test_a_validating_webhook_refuses_with_its_words(tmp_path: pathlib.Path) -> None:
    def answer(asked: dict[str, Any]) -> Any:
        return {
            "CREATE": lambda: hooks.refusing(asked, message="no such thing", code=403, reason="Forbidden"),
            "UPDATE": lambda: hooks.refusing(asked),
            "DELETE": lambda: hooks.refusing(asked, reason="BecauseOfMe"),
        }[asked["request"]["operation"]]()

    async with hooks.serving(tmp_path, answer) as hook, world() as w:
        await w.create("configmaps", labelled("before"))
        await register(w, "Validating", "v", webhook("v.example.com", hook.config()))
        denied = 'admission webhook "v.example.com" denied the request'
        with pytest.raises(errors.StatusError) as refused:
            await w.create("configmaps", labelled("c"))
        assert (refused.value.code, refused.value.reason, refused.value.message) == (403, "Forbidden", f"{denied}: no such thing")
        with pytest.raises(errors.StatusError) as refused:
            await w.patch("configmaps", "before", {"data": {"a": "b"}})
        assert (refused.value.code, refused.value.message) == (400, f"{denied} without explanation")
        assert hook.asked[-1]["request"]["oldObject"]["metadata"]["name"] == "before"
        with pytest.raises(errors.StatusError, match=f"{denied}: BecauseOfMe"):
            await w.delete("configmaps", "before")
        assert hook.asked[-1]["request"]["object"] is None
        assert await w.exists("configmaps", "before")


async def test_selectors_rules_and_conditions_say_what_is_asked(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, hooks.refusing) as hook, world() as w:
        await register(
            w,
            "Validating",
            "v",
            webhook("labels.example.com", hook.config(), objectSelector={"matchLabels": {"refuse": "me"}}),
            webhook("names.example.com", hook.config(), matchConditions=[{"name": "c", "expression": "object.metadata.name == 'bad'"}]),
            webhook("spaces.example.com", hook.config(), namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}),
        )
        await w.create("configmaps", labelled("good"))
        assert hook.asked == []
        with pytest.raises(errors.StatusError, match=r"labels\.example\.com"):
            await w.create("configmaps", labelled("c", refuse="me"))
        with pytest.raises(errors.StatusError, match=r"names\.example\.com"):
            await w.create("configmaps", labelled("bad"))
        await w.create(
            "serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bad", "namespace": "default"}}
        )


async def test_failures_close_or_are_ignored(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, lambda _: web.Response(status=500, text="boom")) as hook, world() as w:
        await register(w, "Validating", "ignored", webhook("i.example.com", hook.config(), failurePolicy="Ignore"))
        await w.create("configmaps", labelled("c"))
        await register(w, "Validating", "failing", webhook("f.example.com", hook.config()))
        with pytest.raises(errors.StatusError) as refused:
            await w.create("configmaps", labelled("d"))
        assert refused.value.code == 500
        told = 'failed calling webhook "f.example.com": failed to call webhook: an error on the server ("boom") has prevented the request'
        assert refused.value.message == f"Internal error occurred: {told} from succeeding"


async def test_answers_that_mean_nothing_are_failures(tmp_path: pathlib.Path) -> None:
    answers = iter([{}, hooks.allowing({"request": {"uid": "other"}}), "text"])
    async with hooks.serving(tmp_path, lambda _: next(answers)) as hook, world() as w:
        await register(w, "Mutating", "m", webhook("m.example.com", hook.config()))
        for told in ("webhook response was absent", 'expected response.uid="', "webhook response was absent"):
            with pytest.raises(errors.StatusError, match=f"received invalid webhook response: {told}"):
                await w.create("configmaps", labelled("c"))


async def test_a_webhook_of_another_authority_is_not_believed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    async with (
        hooks.serving(tmp_path, hooks.allowing) as hook,
        hooks.serving(tmp_path / "other", hooks.allowing) as other,
        world() as w,
    ):
        await register(w, "Mutating", "m", webhook("m.example.com", {**hook.config(), "caBundle": other.authority}))
        with pytest.raises(errors.StatusError, match="x509: certificate signed by unknown authority"):
            await w.create("configmaps", labelled("c"))
        assert hook.asked == []


async def test_a_slow_webhook_delays_its_own_write_only_and_times_out(tmp_path: pathlib.Path) -> None:
    async with world() as w:
        accepted = asyncio.Event()

        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set()
            await reader.read()
            writer.close()

        listener = await asyncio.start_server(never, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        await register(w, "Validating", "v", webhook("slow.example.com", {"url": f"https://127.0.0.1:{port}/"}, timeoutSeconds=1))
        write = asyncio.create_task(w.create("configmaps", labelled("c")))
        await accepted.wait()
        await w.create("services", service("s"))
        assert not write.done()
        with pytest.raises(errors.StatusError, match="context deadline exceeded"):
            await write
        listener.close()


async def test_services_are_found_by_their_endpoints(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, hooks.refusing, "hook.default.svc") as hook, world() as w:
        reference = {"service": {"name": "hook", "namespace": "default", "path": "/judge"}, "caBundle": hook.authority}
        await register(w, "Validating", "v", webhook("v.example.com", reference))
        with pytest.raises(errors.StatusError, match='service "hook" not found'):
            await w.create("configmaps", labelled("c"))
        await w.create("services", service("hook", ports=[{"port": 443, "name": "https"}]))
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "hook-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"]}],
            "ports": [{"name": "https", "port": hook.port}],
        }
        w.server.cache.shelf("endpointslices.discovery.k8s.io").put("default/hook-1", Item(slice_, 1, b""))  # the API refuses loopback
        with pytest.raises(errors.StatusError, match=r'admission webhook "v\.example\.com" denied'):
            await w.create("configmaps", labelled("c"))
        assert len(hook.asked) == 1


async def test_a_change_reinvokes_who_wants_it(tmp_path: pathlib.Path) -> None:
    def answer(asked: dict[str, Any]) -> Any:
        labels = asked["request"]["object"]["metadata"]["labels"]
        if "first" not in labels:
            return hooks.allowing(asked, label("first"))
        return hooks.allowing(asked) if "seen" in labels else hooks.allowing(asked, label("seen"))

    async with hooks.serving(tmp_path, answer) as hook, world() as w:
        await register(w, "Mutating", "a", webhook("again.example.com", hook.config(), reinvocationPolicy="IfNeeded"))
        await register(w, "Mutating", "b", webhook("once.example.com", hook.config()))
        assert meta.labels(await w.create("configmaps", labelled("c"))) == {"app": "x", "first": "x", "seen": "x"}
        assert len(hook.asked) == 3, "the first is asked again after the second changed something, the second is not"


async def test_side_effects_forbid_dry_runs(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, hooks.allowing) as hook, world() as w:
        beta = {"sideEffects": "Some", "admissionReviewVersions": ["v1beta1"]}
        with pytest.raises(errors.StatusError, match="sideEffects"):
            await register(w, "Mutating", "m", webhook("m.example.com", hook.config(), **beta))


async def test_pods_alike_are_each_shown(tmp_path: pathlib.Path) -> None:
    async with hooks.serving(tmp_path, hooks.allowing) as hook, world() as w:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}

        def owned(name: str) -> dict[str, Any]:
            body = pod(name)
            return {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}}

        await w.create("pods", owned("p1"))
        await register(w, "Validating", "v", webhook("v.example.com", hook.config()))
        for name in ("p2", "p3"):
            await w.create("pods", owned(name))
        assert [asked["request"]["name"] for asked in hook.asked] == ["p2", "p3"]


async def test_subresources_with_bodies_of_their_own_are_judged(tmp_path: pathlib.Path) -> None:
    rules = [{**RULE, "operations": ["CREATE", "CONNECT"], "resources": ["pods/binding", "pods/exec"]}]
    async with hooks.serving(tmp_path, hooks.refusing) as hook, serving(tmp_path) as clients:
        pods = "/api/v1/namespaces/default/pods"
        await clients.make(pods, pod("p"))
        body = {"metadata": {"name": "v"}, "webhooks": [webhook("v.example.com", hook.config(), rules=rules)]}
        await clients.make("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", body)
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        status, refused = await clients.ask("POST", f"{pods}/p/binding", binding)
        assert (status, refused["message"]) == (400, 'admission webhook "v.example.com" denied the request without explanation')
        asked = hook.asked[-1]["request"]
        assert (asked["subResource"], asked["kind"]["kind"], asked["object"]["target"]["name"]) == ("binding", "Binding", "n")
        assert (await clients.ask("POST", f"{pods}/p/exec?command=ls&command=-l&stdout=true"))[0] == 400
        asked = hook.asked[-1]["request"]
        assert (asked["operation"], asked["options"]) == ("CONNECT", None)
        assert asked["object"] == {"kind": "PodExecOptions", "apiVersion": "v1", "stdout": True, "command": ["ls", "-l"]}


async def test_a_patch_that_does_not_apply_is_an_error(tmp_path: pathlib.Path) -> None:
    remove = {"op": "remove", "path": "/metadata/labels/none"}
    async with hooks.serving(tmp_path, lambda asked: hooks.allowing(asked, remove)) as hook, world() as w:
        await register(w, "Mutating", "m", webhook("m.example.com", hook.config(), failurePolicy="Ignore"))
        with pytest.raises(errors.StatusError) as refused:
            await w.create("configmaps", labelled("c"))
        assert refused.value.code == 500
        assert not await w.exists("configmaps", "c")


async def test_the_old_review_version_is_spoken(tmp_path: pathlib.Path) -> None:
    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["apiVersion"] == "admission.k8s.io/v1beta1"
        return {"response": {"allowed": False, "status": {"message": "old"}}}

    async with hooks.serving(tmp_path, answer) as hook, world() as w:
        await register(w, "Validating", "v", webhook("v.example.com", hook.config(), admissionReviewVersions=["v1beta1"]))
        with pytest.raises(errors.StatusError, match="denied the request: old"):
            await w.create("configmaps", labelled("c"))


async def test_a_connection_closed_while_idle_is_no_failure(tmp_path: pathlib.Path) -> None:
    authority = certificates.Authority(tmp_path, clock.SystemClock())
    authority.load_or_make()
    pair = authority.pair_for("hook", certificates.Identity("hook", hosts=("127.0.0.1",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    asked: list[int] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the first request of a connection; hang up on the second."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[1])
        body = orjson.dumps(hooks.allowing(orjson.loads(await reader.readexactly(length))))
        asked.append(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await reader.read(1)
        writer.close()

    listener = await asyncio.start_server(once, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    async with world() as w:
        config = {"url": url, "caBundle": base64.b64encode(authority.pem).decode()}
        await register(w, "Validating", "v", webhook("v.example.com", config))
        for name in ("a", "b", "c"):
            await w.create("configmaps", labelled(name))
    assert len(asked) == 3
    listener.close()


async def test_a_mutating_webhook_changes_a_scale(tmp_path: pathlib.Path) -> None:
    def at_most_three(asked: dict[str, Any]) -> dict[str, Any]:
        return hooks.allowing(asked, {"op": "replace", "path": "/spec/replicas", "value": 3})

    async with hooks.serving(tmp_path, at_most_three) as hook, world() as w:
        made = await w.create("deployments.apps", deployment("d"))
        rule = {"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"]}
        await register(w, "Mutating", "m", webhook("a.example.com", hook.config(), rules=[rule]))
        await w.patch("deployments.apps", "d", {"spec": {"replicas": 5}}, subresource="scale")
        await w.server.cache.fresh()
        stored = w.server.cache.get("deployments.apps", "default", "d")
        assert stored is not None
        assert stored.obj["spec"]["replicas"] == 3
        assert meta.uid(stored.obj) == meta.uid(made)
        asked = hook.asked[0]["request"]
        assert (asked["kind"]["kind"], asked["subResource"], asked["operation"]) == ("Scale", "scale", "UPDATE")
        assert (asked["object"]["spec"], asked["oldObject"]["spec"]) == ({"replicas": 5}, {"replicas": 1})


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
