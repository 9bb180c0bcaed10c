"""Every scrape path passes promtool and carries the names that dashboards look for."""

import shutil
import subprocess
import urllib.request

import pytest

from reconciler.metrics import registry
from tests import servers
from tests.e2e.conftest import Cluster
from tests.e2e.test_walk import WEB, ready_pods

EXPECTED = {
    "apiserver": ("apiserver_request_total", "apiserver_request_duration_seconds_bucket", "process_resident_memory_bytes"),
    "controllers": (
        "workqueue_depth",
        "controller_runtime_reconcile_total",
        "reconciler_plan_duration_seconds_bucket",
        "reconciler_loop_stall",
    ),
    "scheduler": ("scheduler_schedule_attempts_total", "scheduler_pending_pods"),
    "kubelet": ("kubelet_running_pods", "kubelet_node_name"),
    "cadvisor": ("container_memory_working_set_bytes", "container_cpu_usage_seconds_total"),
    "kube-state-metrics": ("kube_pod_info", "kube_deployment_status_replicas_available", "kube_node_status_condition"),
    "proxy": ("kubeproxy_sync_proxy_rules_duration_seconds_bucket",),
    "journal": ("etcd_disk_wal_fsync_duration_seconds_bucket", "etcd_server_has_leader"),
    "gitops": ("gotk_reconcile_duration_seconds", "argocd_app_info"),
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Debian's prometheus")
def test_promtool_finds_nothing_to_say(cluster: Cluster) -> None:
    cluster.write("web.yaml", WEB.format(replicas=1, word="one"))
    server = cluster.up()
    servers.eventually(lambda: ready_pods(server, 1))
    for component in registry.COMPONENTS:
        servers.eventually(lambda c=component: not missing(scraped(server, c), c), 30)
        text = scraped(server, component)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, f"{component}: {done.stderr}{done.stdout}"


def scraped(server: servers.Server, component: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics/{component}", timeout=10) as answer:
        return str(answer.read().decode())


def missing(text: str, component: str) -> list[str]:
    return [name for name in EXPECTED[component] if not any(line.startswith(name) for line in text.splitlines())]
