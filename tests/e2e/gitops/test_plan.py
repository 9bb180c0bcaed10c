"""`reconciler plan` against a running server: what a folder, and a commit, would do to it."""

import json
import shutil
import subprocess

from tests import servers
from tests.e2e.conftest import Cluster
from tests.e2e.gitops.test_syncs import WEB


def test_a_change_of_what_runs(cluster: Cluster) -> None:
    def git(*words: str) -> None:
        command = ["git", "-C", str(cluster.folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        subprocess.run(command, check=True, capture_output=True)

    git("init", "-q")
    cluster.write("web.yaml", WEB)
    git("add", ".")
    git("commit", "-qm", "one")
    cluster.write("web.yaml", WEB.replace("replicas: 2", "replicas: 3"))
    git("commit", "-qam", "two")
    server = cluster.up("--runtime", "sim")
    servers.eventually(lambda: server.json("get", "deployment", "web")["status"].get("readyReplicas") == 3)
    assert server.cli("plan", str(cluster.folder)) == "plan: nothing would change\n"
    assert "    spec.replicas 3 -> 2\n" in server.cli("plan", "HEAD~1", check=False)
    other = cluster.folder.parent / "other"
    shutil.copytree(cluster.folder, other)
    (other / "web.yaml").write_text(WEB.replace("replicas: 2", "replicas: 5"))
    found = json.loads(server.cli("plan", str(other), "-o", "json", check=False))
    assert [step["sign"] for step in found["pods"]] == ["+", "+"]
    assert server.json("get", "deployment", "web")["spec"]["replicas"] == 3, "nothing is written"
