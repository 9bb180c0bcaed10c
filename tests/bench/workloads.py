"""Controllers at work: a rolling update, Jobs, a namespace that goes, the plan of one ReplicaSet, and a hundred that idle."""

import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from reconciler import controllers, kinds
from reconciler.loop.snapshot import Snapshot
from tests import servers
from tests.bench import Row
from tests.bench._api import Api

NODES = 500
REPLICAS = 2000
JOBS, PODS_A_JOB = 1000, 5
JOB_PODS, JOB_PLANS = 1000, 20
OBJECTS = 5000
PODS, PLANS = 10_000, 200
IDLE, IDLE_SECONDS = 100, 30.0
CORE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
BATCH = "/apis/batch/v1/namespaces/default"


def rows() -> Iterator[Row]:
    yield Row(f"plan of one ReplicaSet among {PODS} pods", "us", _plan_one(), "<= 100")
    yield Row(f"plan of a Job of {JOB_PODS} pods of which half have ended", "ms", _plan_job(), "<= 20")
    cpu, broken = _rolling_update()
    yield Row(f"rolling update of {REPLICAS} replicas at 25 %/25 %: CPU", "s", [cpu], "<= 12")
    yield Row("  ... states of the pods in which a bound was broken", "", [broken], "0")
    yield Row(f"{JOBS} Jobs of {PODS_A_JOB} pods to completion: CPU", "s", [_jobs()], "<= 15")
    yield Row(f"a namespace with {OBJECTS} objects deleted", "s", [_namespace()], "<= 3")
    plans, writes = _idle()
    yield Row(f"{IDLE} idle of each workload: plans", "1/s", [plans], "~0")
    yield Row("  ... writes", "", [writes], "0")


def _template(**annotations: str) -> dict[str, Any]:
    notes = {f"sim.reconciler.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "10m"}}}
    return {"metadata": {"labels": {"app": "web"}, "annotations": notes}, "spec": {"containers": [container]}}


def _plan_one() -> list[float]:
    """Time of the planner for a ReplicaSet of three pods beside others with very many."""
    roster = kinds.builtin()
    planner = next(one for one in controllers.builtin() if one.name == "replicaset-controller")
    sets = [_replica_set(number) for number in range(PODS // 3)]
    pods = [_pod(number) for number in range(PODS)]
    view = Snapshot.of(roster, [*sets, *pods], {"replicasets.apps", "pods"})
    samples = []
    for number in range(PLANS):
        began = time.perf_counter()
        planner.plan(view, ("default", f"set-{number}"), 1e9)
        samples.append((time.perf_counter() - began) * 1e6)
    return samples


def _plan_job() -> list[float]:
    planner = next(one for one in controllers.builtin() if one.name == "job-controller")
    labels = {"app": "a"}
    metadata = {"name": "job", "namespace": "default", "uid": "job", "resourceVersion": "1", "generation": 1}
    spec = {"parallelism": JOB_PODS // 2, "completions": JOB_PODS, "selector": {"matchLabels": labels}, "template": _template()}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": "job", "controller": True}
    about = {"labels": labels, "ownerReferences": [owner], "finalizers": ["batch.kubernetes.io/job-tracking"]}
    pods = []
    for number in range(JOB_PODS):
        pod = _pod(number)
        phase = "Succeeded" if number % 2 else "Running"
        pods.append({**pod, "metadata": {**pod["metadata"], **about}, "status": {"phase": phase}})
    view = Snapshot.of(kinds.builtin(), [job, *pods], {"jobs.batch", "pods"})
    samples = []
    for _ in range(JOB_PLANS):
        began = time.perf_counter()
        planner.plan(view, ("default", "job"), 1e9)
        samples.append((time.perf_counter() - began) * 1e3)
    return samples


def _replica_set(number: int) -> dict[str, Any]:
    metadata = {"name": f"set-{number}", "namespace": "default", "uid": f"set-{number}", "resourceVersion": "1", "generation": 1}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": f"a{number}"}}, "template": _template()}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def _pod(number: int) -> dict[str, Any]:
    owner = f"set-{number // 3}"
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
    metadata = {"name": f"pod-{number}", "namespace": "default", "uid": f"p{number}", "resourceVersion": "1"}
    metadata |= {"labels": {"app": f"a{number // 3}"}, "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}


def _rolling_update() -> tuple[float, float]:
    with servers.running("--runtime", "sim", "--nodes", str(NODES)) as server:
        api = Api(server)
        spec = {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "web"}}, "template": _template(ready_seconds="1")}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
        api.ask("POST", f"{APPS}/deployments", body)
        servers.eventually(lambda: _status(api, "deployments/web").get("availableReplicas") == REPLICAS, 240)
        listed = api.get(f"{CORE}/pods")
        before = _cpu_seconds(server)
        change = {"spec": {"template": {"metadata": {"labels": {"app": "web", "version": "2"}}}}}
        api.ask("PATCH", f"{APPS}/deployments/web", change, "application/merge-patch+json")
        broken = _broken(api, listed["items"], listed["metadata"]["resourceVersion"])
        return _cpu_seconds(server) - before, broken


def _broken(api: Api, pods: list[dict[str, Any]], since: str) -> float:
    """Follows the pods until all are new; the watch shows every state, counts in a status lag."""
    active = {one["metadata"]["name"] for one in pods}
    available, new = set(active), set[str]()
    broken = 0
    for event in api.watch(f"{CORE}/pods?watch=1&resourceVersion={since}&timeoutSeconds=240"):
        pod = event["object"]
        name, gone = pod["metadata"]["name"], event["type"] == "DELETED" or "deletionTimestamp" in pod["metadata"]
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
        (active.discard if gone else active.add)(name)
        (available.add if ready and not gone else available.discard)(name)
        if "version" in pod["metadata"]["labels"]:
            new.add(name)
        broken += len(active) > REPLICAS * 5 // 4 or len(available) < REPLICAS * 3 // 4
        if active == available == new:
            return float(broken)
    raise AssertionError(f"the update did not end: {len(new)} of {REPLICAS} pods are new")


def _jobs() -> float:
    with servers.running("--runtime", "sim", "--nodes", str(NODES)) as server:
        api = Api(server)
        template = _template(run_seconds="1")
        template["spec"]["restartPolicy"] = "Never"
        before = _cpu_seconds(server)
        for number in range(JOBS):
            spec = {"completions": PODS_A_JOB, "parallelism": PODS_A_JOB, "template": template}
            body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"job-{number}"}, "spec": spec}
            api.ask("POST", f"{BATCH}/jobs", body)
        chosen = urllib.parse.quote("status.successful=" + str(PODS_A_JOB))
        servers.eventually(lambda: len(api.get(f"{BATCH}/jobs?fieldSelector={chosen}")["items"]) == JOBS, 300)
        return _cpu_seconds(server) - before


def _namespace() -> float:
    with servers.running("--runtime", "none") as server:
        api = Api(server)
        api.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "full"}})
        for number in range(OBJECTS):
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c-{number}"}, "data": {"a": "b"}}
            api.ask("POST", "/api/v1/namespaces/full/configmaps", body)
        began = time.monotonic()
        api.ask("DELETE", "/api/v1/namespaces/full")
        servers.eventually(lambda: "full" not in [one["metadata"]["name"] for one in api.get("/api/v1/namespaces")["items"]], 60)
        return time.monotonic() - began


def _idle() -> tuple[float, float]:
    """(plans a second, revisions made) while nothing happens, past the first minute's chores."""
    with servers.running("--runtime", "sim", "--nodes", "10") as server:
        api = Api(server)
        for number in range(IDLE):
            for kind, plural, more in (
                ("Deployment", "deployments", {"replicas": 1}),
                ("StatefulSet", "statefulsets", {"replicas": 1, "serviceName": "web"}),
                ("DaemonSet", "daemonsets", {}),  # each for one node, for a node takes 110 pods
            ):
                template = _template()
                labels = {"app": f"{plural}-{number}"}
                template["metadata"]["labels"] = labels
                if kind == "DaemonSet":
                    template["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "sim-1"}
                spec = {**more, "selector": {"matchLabels": labels}, "template": template}
                api.ask(
                    "POST", f"{APPS}/{plural}", {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": f"i{number}"}, "spec": spec}
                )
            job = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}}}
            spec = {"schedule": "0 0 1 1 *", "jobTemplate": job}
            cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": f"i{number}"}, "spec": spec}
            api.ask("POST", f"{BATCH}/cronjobs", cron)
        wanted = IDLE * 3
        servers.eventually(lambda: _running(api) == wanted, 120)
        _settled(server)
        plans, revision = _plans(server), _revision(api)
        time.sleep(IDLE_SECONDS)
        return (_plans(server) - plans) / IDLE_SECONDS, _revision(api) - revision


def _running(api: Api) -> int:
    return len(api.get(f"{CORE}/pods?fieldSelector=status.phase%3DRunning")["items"])


def _settled(server: servers.Server) -> None:
    last = -1.0
    for _ in range(30):
        now = _plans(server)
        if now == last:
            return
        last = now
        time.sleep(3)


def _plans(server: servers.Server) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics/controllers", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("reconciler_plan_duration_seconds_count"))


def _revision(api: Api) -> int:
    """Of the newest durable object; volatile heart beats draw revisions too, so objects are compared."""
    kinds_seen = ("pods", "events", "namespaces/default/events")
    newest = 0
    for path in (f"{APPS}/deployments", f"{APPS}/statefulsets", f"{APPS}/daemonsets", f"{APPS}/replicasets", f"{BATCH}/cronjobs"):
        newest = max([newest, *(int(one["metadata"]["resourceVersion"]) for one in api.get(path)["items"])])
    for path in kinds_seen:
        newest = max([newest, *(int(one["metadata"]["resourceVersion"]) for one in api.get(f"/api/v1/{path}")["items"])])
    return newest


def _status(api: Api, path: str) -> dict[str, Any]:
    return dict(api.get(f"{APPS}/{path}").get("status") or {})


def _cpu_seconds(server: servers.Server) -> float:
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
