from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.cli import documents

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=30) | st.sampled_from(
    [
        "",
        "yes",
        "0644",
        "1e3",
        "~",
        "null",
        "a: b",
        "- x",
        "x #y",
        "2001-01-01",
        "12:30",
        "line\nline\n",
        "a\n\n",
        " lead",
        "trail ",
        "*a",
        "&b",
        "%c",
        "@d",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


@given(JSON)
def test_a_yaml_reader_reads_back_what_was_written(value: object) -> None:
    assert YAML(typ="safe", pure=True).load(documents.dump(value)) == value


def test_looks_like_kubectl() -> None:
    obj = {
        "kind": "ConfigMap",
        "data": {"lines": "one\ntwo\n", "cut": "one\ntwo", "number": "0644", "words": "x y"},
        "list": [{"a": 1, "b": []}],
    }
    assert documents.dump(obj) == (
        'data:\n  cut: |-\n    one\n    two\n  lines: |\n    one\n    two\n  number: "0644"\n  words: x y\n'
        "kind: ConfigMap\nlist:\n- a: 1\n  b: []\n"
    )
