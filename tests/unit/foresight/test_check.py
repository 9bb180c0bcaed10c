"""A folder is judged without a server."""

import pathlib

from reconciler.foresight import check

BAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {"not valid!": x}}
spec:
  replicas: two
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: host, ports: [{containerPort: 8080, hostprot: 1}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{port: 99999}], selector: {app: web}}
---
kind: Service
"""


def test_all_problems_with_their_places(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(BAD)
    (tmp_path / "twice.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n")
    found = check.check(tmp_path)
    assert found.documents == 2
    assert [str(problem) for problem in found.problems] == [
        "twice.yaml:3:12: metadata.name: Service default/web is also defined at web.yaml:12: keep one; until then neither is applied",
        'web.yaml:5:3: spec.replicas: must be an integer, not a string "two"',
        "web.yaml:10:64: spec.template.spec.containers[0].ports[0].hostprot: there is no such field: did you mean hostPort?",
        "web.yaml:14:12: metadata.name: Service default/web is also defined at twice.yaml:1: keep one; until then neither is applied",
        "web.yaml:17:1: apiVersion: must be a string, such as apps/v1",
    ]


def test_what_types_do_not_say_is_found_too(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(BAD.replace("two", "2").replace("hostprot", "hostPort").replace("kind: Service\n", "---\n", 0))
    fields = {problem.field for problem in check.check(tmp_path).problems}
    assert {"spec.selector", "metadata.labels", "spec.ports[0].port"} <= fields


def test_a_good_folder_and_none_at_all(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    assert check.check(tmp_path) == check.Found(1, ())
    assert [identity.name for identity in check.read(tmp_path).documents] == ["a"]
    missing = check.check(tmp_path / "none")
    assert [problem.message for problem in missing.problems] == ["does not exist"]


def test_the_folder_s_own_definitions_count(tmp_path: pathlib.Path) -> None:
    (tmp_path / "crd.yaml").write_text("""\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer, maximum: 5}}}
""")
    (tmp_path / "w.yaml").write_text("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 9, colour: red}\n")
    assert [str(problem) for problem in check.check(tmp_path).problems] == ["w.yaml:4:17: spec.colour: there is no such field"]
    (tmp_path / "w.yaml").write_text("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 9}\n")
    (problem,) = check.check(tmp_path).problems
    assert (problem.place, problem.field) == ("w.yaml:4:8", "spec.size")
