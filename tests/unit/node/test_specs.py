"""From pods to what runtimes start."""

import pathlib

import pytest

from reconciler.node import specs, versions
from tests.unit.node.pods import pod


class Nothing:
    def get(self, *_: object) -> None:
        return None


def test_resources() -> None:
    wanted = {"name": "main", "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}}
    found = specs.resources(pod([wanted]), wanted, 8 << 30)
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_limit_bytes) == (256, 50_000, 64 << 20)
    assert found.oom_score_adj == 993
    assert specs.resources(pod(), {"name": "main"}, 8 << 30).oom_score_adj == 1000
    full = {"name": "main", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}}
    assert specs.resources(pod([full]), full, 8 << 30).oom_score_adj == -997


def test_security_of_the_container_goes_before_the_pods() -> None:
    obj = pod(securityContext={"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000]})
    found = specs.security(obj, {"name": "main", "securityContext": {"runAsUser": 7, "capabilities": {"drop": ["ALL"]}}})
    assert (found.uid, found.gid, found.groups, found.drop_capabilities) == (7, 2000, (4000, 3000), ("ALL",))
    assert (found.no_new_privileges, found.seccomp) == (True, "RuntimeDefault")
    assert specs.fs_group(obj) == 3000
    with pytest.raises(specs.Refused, match="container has runAsNonRoot and image will run as root"):
        specs.security(pod(), {"name": "main", "securityContext": {"runAsNonRoot": True}})


def test_sandbox() -> None:
    found = specs.sandbox(pod(hostNetwork=True, hostname="h"), pathlib.Path("/logs"))
    assert (found.hostname, found.host_network, str(found.log_dir)) == ("h", True, "/logs/default_web_u1")


def test_resolver_file() -> None:
    host = "nameserver 9.9.9.9\nsearch home\noptions timeout:1\n"
    cluster = specs.resolver_file(pod(), host, "10.96.0.10", "cluster.local")
    assert cluster == "search default.svc.cluster.local svc.cluster.local cluster.local home\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert (
        specs.resolver_file(pod(dnsPolicy="Default"), host, "10.96.0.10", "cluster.local")
        == "search home\nnameserver 9.9.9.9\noptions timeout:1\n"
    )
    own = {"nameservers": ["1.1.1.1"], "searches": ["a"], "options": [{"name": "ndots", "value": "2"}, {"name": "debug"}]}
    none = specs.resolver_file(pod(dnsPolicy="None", dnsConfig=own), host, "10.96.0.10", "cluster.local")
    assert none == "search a\nnameserver 1.1.1.1\noptions ndots:2 debug\n"


def test_hosts_file() -> None:
    text = specs.hosts_file(pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]), "web", "10.1.0.2")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.1.0.2\tweb\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_versions_name_what_configuration_comes_from() -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]
    obj = pod(
        [{"name": "main", "env": env, "envFrom": [{"secretRef": {"name": "s"}}]}], volumes=[{"name": "v", "configMap": {"name": "d"}}]
    )
    assert versions.references(obj) == {("configmaps", "c"), ("secrets", "s"), ("configmaps", "d")}
    assert versions.current(obj, Nothing()) == "configmaps/c@absent,configmaps/d@absent,secrets/s@absent"  # type: ignore[arg-type]
    assert versions.current(pod(), Nothing()) == "nothing"  # type: ignore[arg-type]
