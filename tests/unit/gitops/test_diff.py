"""Differences in words."""

from typing import Any

from reconciler.gitops import diff
from reconciler.kit import definitions
from reconciler.model.schema import Schemas


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "resourceVersion": "1"}, "spec": spec}


def said(old: Any, new: Any, schema: str = "io.k8s.api.apps.v1.Deployment") -> list[str]:
    node = Schemas(definitions.load(), definitions.shapes()).of(schema)
    return [str(change) for change in diff.between(old, new, node)]


def test_values_that_change_come_and_go() -> None:
    old = deployment(replicas=2, paused=True, strategy={"type": "Recreate"})
    new = deployment(replicas=3, strategy={"type": "Recreate"}, minReadySeconds=5)
    assert said(old, new) == ["spec.replicas 2 -> 3", "spec.paused: true (removed)", "spec.minReadySeconds: 5 (added)"]


def test_list_items_are_matched_by_key() -> None:
    def pod(*containers: dict[str, Any]) -> dict[str, Any]:
        return deployment(template={"spec": {"containers": list(containers)}})

    one = {"name": "a", "image": "x:1", "ports": [{"containerPort": 80}, {"containerPort": 81}]}
    two = {**one, "image": "x:2", "ports": [{"containerPort": 79}, {"containerPort": 81}]}
    assert said(pod(one), pod({"name": "first", "image": "y"}, two)) == [
        "spec.template.spec.containers[name=a].image x:1 -> x:2",
        'spec.template.spec.containers[name=a].ports[containerPort=80]: {"containerPort": 80} (removed)',
        'spec.template.spec.containers[name=a].ports[containerPort=79]: {"containerPort": 79} (added)',
        'spec.template.spec.containers[name=first]: {"name": "first", "image": "y"} (added)',
    ]


def test_lists_without_keys() -> None:
    assert said(deployment(args=["a"]), deployment(args=["a", "b c"])) == ['spec.args ["a"] -> ["a", "b c"]']
    old, new = ({"tolerations": [{"key": key}, {"key": "z"}]} for key in ("x", "y"))
    assert said(deployment(template={"spec": old}), deployment(template={"spec": new})) == [
        "spec.template.spec.tolerations[0].key x -> y",
    ]


def test_what_only_the_server_and_we_write_is_left_out() -> None:
    old = deployment(replicas=1)
    marks = {"reconciler.dev/source": "a.yaml", "reconciler.dev/digest": "0", "deployment.kubernetes.io/revision": "3"}
    metadata = {"name": "web", "resourceVersion": "9", "generation": 4, "labels": {"reconciler.dev/sync": "x"}, "annotations": marks}
    assert said(old, {**old, "metadata": metadata, "status": {"replicas": 1}}) == []


def test_secrets_are_never_shown() -> None:
    old = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "b2xk"}, "type": "Opaque"}
    new = {**old, "data": {"password": "bmV3", "more": "eA=="}}
    lines = said(old, new, "io.k8s.api.core.v1.Secret")
    assert lines == ["data.password (hidden) -> (changed)", "data.more: (changed) (added)"]
    everything = str(diff.lines("Secret s", None, new)) + str(lines)
    assert "bmV3" not in everything


def test_long_texts_are_counted() -> None:
    old = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"page.html": "a\nb\nc\n", "x.y/z": "1"}}
    new = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"page.html": "a\n  new line\nc\nd\n", "x.y/z": "2"}}
    assert said(old, new, "io.k8s.api.core.v1.ConfigMap") == [
        'data[page.html]: 1 lines removed, 2 added: "new line"',
        'data[x.y/z] 1 -> 2',
    ]  # fmt: skip


def test_lines_name_the_object() -> None:
    assert diff.lines("Deployment default/web", None, deployment()) == ["+ Deployment default/web"]
    assert diff.lines("Deployment default/web", deployment(), None) == ["- Deployment default/web"]
    assert diff.lines("Deployment default/web", deployment(a=1), deployment(a=2)) == ["~ Deployment default/web spec.a 1 -> 2"]
