"""Every scrape path passes promtool and carries the names that dashboards look for."""

import os
import pathlib
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
        'rest_client_requests_total{code="201",host="localhost",method="POST"}',
    ),
    "scheduler": ("scheduler_schedule_attempts_total", "scheduler_pending_pods", "rest_client_requests_total{"),
    "kubelet": (
        "kubelet_node_name{",
        "kubelet_running_pods",
        "rest_client_requests_total{",
        'kubelet_running_containers{container_state="running"}',
        "kubelet_pod_start_duration_seconds_bucket",
        'kubelet_pod_worker_duration_seconds_bucket{le="0.0001",operation_type="create"}',
        "kubelet_pleg_relist_duration_seconds_bucket",
        "kubelet_pleg_relist_interval_seconds_bucket",
        'kubelet_runtime_operations_total{operation_type="start_container"}',
        "kubelet_runtime_operations_duration_seconds_bucket",
        'kubelet_volume_stats_capacity_bytes{namespace="default",persistentvolumeclaim="data"}',
        "kubelet_volume_stats_available_bytes",
        'kubelet_evictions{eviction_signal="nodefs.available"} 0.0',
        "kubelet_volume_stats_used_bytes",
        "prober_probe_total{",
    ),
    "cadvisor": (
        "container_memory_working_set_bytes",
        "container_memory_rss",
        "container_memory_cache",
        "container_cpu_usage_seconds_total",
        *(("container_network_receive_bytes_total", "container_network_transmit_packets_dropped_total") if os.geteuid() == 0 else ()),
    ),
    "kube-state-metrics": ("kube_pod_info", "kube_deployment_status_replicas_available", "kube_node_status_condition"),
    "proxy": ("kubeproxy_sync_proxy_rules_duration_seconds_bucket",),
    "journal": ("etcd_disk_wal_fsync_duration_seconds_bucket", "etcd_server_has_leader"),
    "gitops": ("gotk_reconcile_duration_seconds", "argocd_app_info"),
}


CLAIM = """\
apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk}}
spec:
  capacity: {{storage: 1Mi}}
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  hostPath: {{path: {folder}, type: DirectoryOrCreate}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: "", resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: keeper-of-data}}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
  containers:
  - name: main
    image: host
    command: [sh, -c, "echo kept > /data/word; sleep 100000"]
    volumeMounts: [{{name: data, mountPath: /data}}]
    readinessProbe: {{exec: {{command: [test, -e, /data/word]}}, periodSeconds: 1}}
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Debian's prometheus")
def test_promtool_finds_nothing_to_say(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    cluster.write("web.yaml", WEB.format(replicas=1, word="one"))
    cluster.write("claim.yaml", CLAIM.format(folder=tmp_path / "volume"))
    server = cluster.up()
    servers.eventually(lambda: ready_pods(server, 1))
    for component in registry.COMPONENTS:
        servers.eventually(lambda c=component: not missing(scraped(server, c), c), 30)
        text = scraped(server, component)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, f"{component}: {done.stderr}{done.stdout}"
    assert (tmp_path / "volume" / "word").read_text() == "kept\n"


def scraped(server: servers.Server, component: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics/{component}", timeout=10) as answer:
        return str(answer.read().decode())


def missing(text: str, component: str) -> list[str]:
    return [name for name in EXPECTED[component] if not any(line.startswith(name) for line in text.splitlines())]
