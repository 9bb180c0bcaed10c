"""Files become documents and problems, all at once and each in its place."""

import pytest

from reconciler.gitops import load

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"


def parse(text: str) -> load.File:
    return load.parse("apps/web.yaml", text.encode())


def names(file: load.File) -> list[tuple[str, int]]:
    return [(document.body["metadata"]["name"], document.line) for document in file.documents]


def test_documents_keep_their_lines() -> None:
    file = parse("# head\n" + CONFIG.replace("NAME", "a") + "---\n# note\n\n" + CONFIG.replace("NAME", "b") + "---\n")
    assert names(file) == [("a", 2), ("b", 8)]
    assert file.documents[1].source == "apps/web.yaml:8"
    assert not file.problems


def test_a_broken_document_takes_no_other_with_it() -> None:
    file = parse("---\n".join([CONFIG.replace("NAME", "a"), "kind: [\n", CONFIG.replace("NAME", "b"), "v: a: b\n"]))
    assert names(file) == [("a", 1), ("b", 7)]
    assert [str(problem).partition(": ")[0] for problem in file.problems] == ["apps/web.yaml:6:1", "apps/web.yaml:11:5"]


def test_lists_are_flattened_and_give_their_kind_to_items() -> None:
    file = parse("apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n- metadata:\n    name: b\n- 5\n")
    assert names(file) == [("a", 4), ("b", 5)]
    assert {document.body["kind"] for document in file.documents} == {"ConfigMap"}
    assert [str(problem) for problem in file.problems] == ["apps/web.yaml:7:3: items[2]: an item of a List must be an object"]
    assert file.documents[1].problem("wrong", "metadata.name") == load.Problem("apps/web.yaml", 6, 5, "wrong", "metadata.name")


def test_json_is_read_too() -> None:
    file = load.parse("a.json", b'{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",\n  "metadata": {"name": "a"},\n  "data": {"k": 5}\n}\n')
    assert names(file) == [("a", 1)]
    assert file.documents[0].problem("must be a string", "data.k").place == "a.json:5:12"


def test_what_only_a_server_writes_is_dropped() -> None:
    written = CONFIG.replace("NAME", "a, uid: u, resourceVersion: '5', managedFields: [], labels: {a: b}") + "status: {x: 1}\n"
    assert parse(written).documents[0].body == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"a": "b"}},
    }


def test_equal_content_has_an_equal_digest() -> None:
    one, two, three = (
        parse(text).documents[0]
        for text in (
            CONFIG.replace("NAME", "a") + "data: {x: '1', y: '2'}\n",
            "---\n# moved\nkind: ConfigMap\napiVersion: v1\ndata:\n  y: '2'\n  x: '1'\nmetadata:\n  name: a\n",
            CONFIG.replace("NAME", "a") + "data: {x: '1', y: '3'}\n",
        )
    )
    assert one.digest == two.digest != three.digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]\n", "1:1: a document must be a mapping with apiVersion, kind and metadata"),
        ("kind: A\nmetadata: {name: a}\n", "1:1: apiVersion: must be a string, such as apps/v1"),
        ("apiVersion: v1\nkind: 5\n", "2:1: kind: must be a string, such as Deployment"),
        ("apiVersion: v1\nkind: A\n", "1:1: metadata: must be a mapping with a name"),
        ("apiVersion: v1\nkind: A\nmetadata: {}\n", "3:1: metadata.name: a value is required"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: 5}\n", "3:12: metadata.name: 5 is not a string: quote it"),
        ("apiVersion: v1\nkind: A\nmetadata: {generateName: a-}\n", "3:12: metadata.generateName: an object kept in a folder needs"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a/../b}\n", "3:12: metadata.name: \"a/../b\" cannot be a name"),
        ("apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  namespace: ..\n", "5:3: metadata.namespace: \"..\" cannot be a name"),
        ("apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  namespace: ''\n", "5:3: metadata.namespace: a value is required"),
    ],
)  # fmt: skip
def test_heads_that_are_refused(text: str, expected: str) -> None:
    file = parse(text)
    assert not file.documents
    (problem,) = file.problems
    assert str(problem).startswith(f"apps/web.yaml:{expected}")


def test_bytes_that_are_no_text() -> None:
    (problem,) = load.parse("a.yaml", b"a: 1\nb: \xff\n").problems
    assert problem.place == "a.yaml:2:4"
    assert "UTF-8" in problem.message
    assert load.parse("a.yaml", b"\xef\xbb\xbf" + CONFIG.replace("NAME", "a").encode()).documents


def test_bounds() -> None:
    (problem,) = load.parse("a.yaml", b"#" * (10 << 20)).problems
    assert "10485760 bytes, at most 5242880 are read" in problem.message
    (problem,) = parse("---\n".join([CONFIG] * (load.MAX_DOCUMENTS + 1))).problems
    assert "more than 5000 documents" in problem.message


def test_steps_of_a_field_path() -> None:
    assert load.steps("spec.containers[0].env[12].name") == ("spec", "containers", 0, "env", 12, "name")
    assert load.steps("metadata.labels[a.b/c]") == ("metadata", "labels", "a.b/c")
    assert load.steps("metadata.labels[²]") == ("metadata", "labels", "²")  # a digit, but no number
    assert load.steps('data["x y"]') == ("data", "x y")
    assert load.steps("") == ()
