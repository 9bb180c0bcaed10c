"""Measurements for autoscalers: from the nodes' own, and from a real Prometheus."""

import asyncio
import json
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence

import pytest
from aiohttp import web

from reconciler import kinds
from reconciler.client import protocol
from reconciler.client import usage as uses
from reconciler.controllers import horizontalpodautoscaler as hpa
from reconciler.controllers import measures
from reconciler.daemon import prometheus
from reconciler.daemon.config import Prometheus
from reconciler.foresight import measuring
from reconciler.kit import clock as clocks
from reconciler.loop.snapshot import Snapshot
from reconciler.model import meta

ORIGIN = protocol.Origin(actor="test")
CPU = measures.Query(source="resource", namespace="ns", metric="cpu", selector="app=web")


class Nodes:
    async def usage(self) -> tuple[uses.Node, ...]:
        mine = (uses.Container("c", 250_000_000, 1024), uses.Container("side", 500_000, 1024))
        pods = tuple(
            uses.Pod(namespace="ns", name=name, uid=uid, timestamp=5.0, window_seconds=10.0, containers=mine)
            for name, uid in (("a", "uid-a"), ("b", "uid-of-an-older-b"), ("other", "uid-other"))
        )
        return (uses.Node(name="n", timestamp=5.0, window_seconds=10.0, cpu_nanocores=0, memory_working_set_bytes=0, pods=pods),)


def pod(name: str, app: str) -> meta.Obj:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": "1", "labels": {"app": app}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}


VIEW = Snapshot.of(kinds.builtin(), [pod("a", "web"), pod("b", "web"), pod("other", "db")], None)


async def asked(query: measures.Query, sources: Sequence[uses.Source], reader: prometheus.Reader | None = None) -> measures.Answer:
    woken: list[tuple[str, meta.Key]] = []
    measured = measuring.Measuring(VIEW, clocks.VirtualClock(), sources, reader)
    measured.wakes(lambda name, key: woken.append((name, key)))
    await measured.performers()[measures.Measure](measures.Measure(("ns", "h"), 3, frozenset({query})), ORIGIN)
    assert woken == [(hpa.NAME, ("ns", "h"))]
    found = measured.memories[("ns", "h")].measured
    assert found is not None
    assert found.generation == 3
    await measured.performers()[measures.Remember](measures.Remember(("ns", "h"), None), ORIGIN)
    assert measured.memories == {}
    return found.answers[query]


async def test_resources_are_those_of_the_pods_that_are_meant() -> None:
    assert await asked(CPU, [Nodes()]) == measures.Answer({"a": measures.Sample(251, 5.0, 10.0)})
    one = measures.Query(source="resource", namespace="ns", metric="memory", selector="app=web", container="c")
    assert (await asked(one, [Nodes()])).samples["a"].milli == 1_024_000
    absent = measures.Query(source="resource", namespace="ns", metric="cpu", selector="app=web", container="x")
    assert (await asked(absent, [Nodes()])).error == "container x not present in metrics for pod ns/a"
    nobody = measures.Query(source="resource", namespace="ns", metric="cpu", selector="app=none")
    assert (await asked(nobody, [Nodes()])).error == "no metrics returned from resource metrics API"


async def test_what_is_not_there_is_said_in_kubernetes_words() -> None:
    assert "the server could not find the requested resource (get pods.metrics.k8s.io)" in (await asked(CPU, [])).error
    queue = measures.Query(source="external", namespace="ns", metric="queue")
    assert (await asked(queue, [])).error.endswith("(get queue.external.metrics.k8s.io)")
    hits = measures.Query(source="pods", namespace="ns", metric="hits")
    assert (await asked(hits, [])).error.endswith("no custom metrics API (custom.metrics.k8s.io) registered")


def test_matchers() -> None:
    about = measures.Query(
        source="object",
        namespace="ns",
        metric="m",
        described=("networking.k8s.io/v1", "Ingress", 'we"b'),
        metric_selector="verb in (GET,PO.ST),!old",
    )
    assert prometheus.matchers(about) == 'namespace="ns",ingress="we\\"b",old="",verb=~"GET|PO\\\\.ST"'
    assert prometheus.matchers(measures.Query(source="external", namespace="ns", metric="m")) == ""


async def test_answers_that_are_none(unused_port: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        query = (await request.post())["query"]
        return web.Response(text=str(query))

    app = web.Application()
    app.router.add_post("/api/v1/query", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_port).start()
    bodies = {"text": "<html>", "failed": '{"status":"error","error":"parse error"}', "odd": '{"status":"success","data":{"result":[1]}}'}
    bodies["empty"] = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}})
    reader = prometheus.Reader(Prometheus(url=f"http://127.0.0.1:{unused_port}", custom=bodies))
    errors = {name: (await reader.answer(measures.Query(source="pods", namespace="n", metric=name))).error for name in (*bodies, "none")}
    await reader.close()
    await runner.cleanup()
    assert "Expecting value" in errors["text"]
    assert errors["failed"] == "unable to fetch metrics from custom metrics API: parse error"
    assert errors["odd"] == "unable to fetch metrics from custom metrics API: the query gives no instant vector"
    assert errors["empty"] == "no metrics returned from custom metrics API"
    assert errors["none"] == "unable to fetch metrics from custom metrics API: prometheus.custom has no query none"


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def real_prometheus(tmp_path: pathlib.Path, unused_port: int) -> Iterator[str]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    rules = {"record": "hits", "expr": "vector(7)", "labels": {"namespace": "ns", "pod": "a"}}
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "interval": "1s", "rules": [rules]}]}))
    (tmp_path / "prometheus.yml").write_text(json.dumps({"rule_files": ["rules.yml"]}))
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{unused_port}"], stdout=log, stderr=log)
    yield f"http://127.0.0.1:{unused_port}"
    process.terminate()
    process.wait(30)


async def test_a_real_prometheus(real_prometheus: str) -> None:
    settings = Prometheus(url=real_prometheus, custom={"hits": "hits{$labels} / 2"}, external={"queue": "sum(hits{$labels}) * 2"})
    reader = prometheus.Reader(settings)
    hits = measures.Query(source="pods", namespace="ns", metric="hits")
    answer = await reader.answer(hits)
    for _ in range(600):
        if not answer.error:
            break
        await asyncio.sleep(0.1)
        answer = await reader.answer(hits)
    queue = await reader.answer(measures.Query(source="external", namespace="ns", metric="queue", metric_selector="pod=a"))
    elsewhere = await reader.answer(measures.Query(source="pods", namespace="other", metric="hits"))
    await reader.close()
    assert {name: sample.milli for name, sample in answer.samples.items()} == {"a": 3500}
    assert [sample.milli for sample in queue.samples.values()] == [14_000]
    assert elsewhere.error == "no metrics returned from custom metrics API"
