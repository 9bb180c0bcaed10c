"""Time travel: what was, why, what changed since, and what a commit caused."""

import subprocess
import time

from tests import servers
from tests.e2e.conftest import Cluster
from tests.e2e.gitops.test_syncs import WEB, replicas


def test_back_to_what_was_and_forward_from_a_commit(cluster: Cluster) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(cluster.folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    cluster.write("web.yaml", WEB)
    git("add", ".")
    git("commit", "-qm", "one")
    first = git("rev-parse", "HEAD")
    server = cluster.up("--runtime", "sim")
    servers.eventually(lambda: server.json("get", "deployment", "web")["status"].get("readyReplicas") == 2)
    revision = server.json("get", "deployment", "web")["metadata"]["resourceVersion"]
    cluster.write("web.yaml", WEB.replace("replicas: 2", "replicas: 3"))
    git("commit", "-qam", "two")
    servers.eventually(lambda: replicas(server) == 3)
    servers.eventually(lambda: server.json("get", "deployment", "web")["status"].get("readyReplicas") == 3)

    assert len(server.cli("get", "pods", "-o", "name", "--at", revision).split()) == 2
    assert "replicas: 2\n" in server.cli("get", "deployment/web", "-o", "yaml", "--at", revision)
    assert "replicas: 2\n" in server.cli("describe", "deployment/web", "--at", revision)
    assert f"(commit {first[:12]})" in server.cli("why", "deployment/web", "--at", revision).splitlines()[0]
    assert "~ Deployment default/web spec.replicas 2 -> 3" in server.cli("diff", "--at", revision, check=False)
    assert f"history begins at revision {int(revision) + 1}" not in server.cli("get", "pods", "--at", "1s")
    caused = server.cli("why", "--commit", first)
    assert caused.count("pods default/web-") == 4, "two made, and two bound"
    assert "Scaled up replica set" in server.cli("events", "--since", "1h")
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    assert len(server.cli("get", "pods", "-o", "name", "--at", later).split()) == 3
    server.cli("compact")
    assert "the history begins at revision" in server.cli("events", "--since", revision, check=False)
