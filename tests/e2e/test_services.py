"""Services and names, as pods and the node see them, in each way in which pods can be isolated."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from tests import servers
from tests.e2e.conftest import Cluster

MANIFESTS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "hello from the config"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  strategy: {rollingUpdate: {maxSurge: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: host
        command: [python3, -m, http.server, "18080", --directory, %(page)s]
        readinessProbe: {httpGet: {path: /index.html, port: 18080}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: %(page)s}]
      volumes: [{name: page, configMap: {name: page}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{name: http, port: 8080, targetPort: 18080, nodePort: %(node_port)d}]
---
apiVersion: v1
kind: Pod
metadata: {name: asker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: host
    command: [python3, -u, -c]
    args:
    - |
      import time, urllib.request
      while True:
          try:
              print("got", urllib.request.urlopen("http://%(host)s:8080/index.html", timeout=2).read().decode(), flush=True)
          except OSError as error:
              print("failed", error, flush=True)
          time.sleep(0.3)
"""


def config(top: pathlib.Path, isolation: str) -> pathlib.Path:
    return servers.settings(top / "config.yaml", isolation=isolation, serviceRange="10.97.0.0/16", podRange="10.245.0.0/16")


def fetched(address: str, port: int) -> str:
    code = f"import urllib.request; print(urllib.request.urlopen('http://{address}:{port}/index.html', timeout=2).read().decode())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30).stdout


def serves(server: servers.Server, word: str) -> Any:
    return servers.eventually(lambda: f"got hello from the {word}" in server.kubectl("logs", "asker", "--tail=3", check=False))


@pytest.mark.parametrize("isolation", ["root", "userns", "plain"])
def test_pods_and_node_reach_a_service(cluster: Cluster, tmp_path: pathlib.Path, isolation: str) -> None:
    if isolation == "root" and os.geteuid() != 0:
        pytest.skip("pods with addresses of their own need root")
    node_port = {"root": 30871, "userns": 30872, "plain": 30873}[isolation]
    host = "web" if isolation != "plain" else "$(WEB_SERVICE_HOST)"
    text = MANIFESTS % {"node_port": node_port, "host": host, "page": tmp_path / "page"}
    cluster.write("a.yaml", text.split("kind: Pod")[0].rpartition("---")[0])
    server = cluster.up("--config", str(config(tmp_path, isolation)))
    servers.eventually(lambda: server.json("get", "deployment", "web")["status"].get("readyReplicas") == 1)
    cluster.write("b.yaml", "apiVersion: v1\nkind: Pod\n" + text.split("kind: Pod\n")[1])
    serves(server, "config")
    address = server.json("get", "nodes")["items"][0]["status"]["addresses"][0]["address"]
    servers.eventually(lambda: fetched(address, node_port) == "hello from the config\n")
    cluster_ip = server.json("get", "service", "web")["spec"]["clusterIP"]
    assert fetched(cluster_ip, 8080) == "hello from the config\n"
    cluster.write("a.yaml", text.split("kind: Pod")[0].rpartition("---")[0].replace("the config", "the change"))
    serves(server, "change")
