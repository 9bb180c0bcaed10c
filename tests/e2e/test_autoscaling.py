"""`kubectl top` and a HorizontalPodAutoscaler, on what nodes measure; volumes made for claims. Simulated nodes."""

import json

from tests import servers
from tests.e2e.conftest import Cluster

BUSY = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}, annotations: {sim.reconciler.dev/cpu: 500m, sim.reconciler.dev/memory: 64Mi}}
    spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 250m}}}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: busy}, maxReplicas: 4}
"""

STATEFUL = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: c, image: i, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
"""


def test_size_follows_what_is_measured(cluster: Cluster) -> None:
    server = cluster.up("--runtime", "sim", "--nodes", "2")
    server.kubectl("apply", "-f", "-", stdin=BUSY)
    servers.eventually(lambda: "500m" in server.kubectl("top", "pods", check=False), 60)
    assert "sim-1" in server.kubectl("top", "nodes")
    assert "64Mi" in server.kubectl("top", "pods", "-l", "app=busy", "--containers")
    listed = json.loads(server.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods?labelSelector=app%3Dnone"))
    assert (listed["kind"], listed["items"]) == ("PodMetricsList", [])
    missing = server.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes/none", check=False)
    assert missing == ""
    servers.eventually(lambda: server.json("get", "deploy", "busy")["spec"]["replicas"] == 4, 90)
    assert "SuccessfulRescale" in server.kubectl("get", "events")


def test_claims_get_folders_that_go_with_them(cluster: Cluster) -> None:
    server = cluster.up("--runtime", "sim", "--nodes", "2")
    server.kubectl("apply", "-f", "-", stdin=STATEFUL)
    servers.eventually(lambda: server.json("get", "sts", "db")["status"].get("readyReplicas") == 2, 60)
    claims = server.json("get", "pvc")["items"]
    assert {one["status"]["phase"] for one in claims} == {"Bound"}
    grown = '{"spec": {"resources": {"requests": {"storage": "3Gi"}}}}'
    server.kubectl("patch", "pvc", "data-db-0", "--type=merge", "-p", grown)
    servers.eventually(lambda: server.json("get", "pvc", "data-db-0")["status"]["capacity"]["storage"] == "3Gi", 60)
    server.kubectl("delete", "statefulset/db", "pvc/data-db-0", "pvc/data-db-1", "--wait=false")
    servers.eventually(lambda: server.json("get", "pv")["items"] == [], 60)
