"""Scalars, keys and merges beside the real kubectl; bounds and places on their own."""

import json
import shutil
import subprocess

import pytest

from reconciler.kit import yaml

HEAD = "apiVersion: example.com/v1\nkind: X\nmetadata: {name: a}\n"
KUBECTL = shutil.which("kubectl")

# What `kubectl label --local -o json` makes of each, recorded with kubectl 1.32.
SCALARS = {
    "yes": True, "on": True, "y": True, "Y": True, "TRUE": True, "No": False, "OFF": False, "n": False,
    "tRue": "tRue", "~": None, "Null": None, "nUll": "nUll", "0644": 420, "08": 8, "0o14": 12, "0O17": 15, "-07": -7,
    "0_7": 7, "1_000": 1000, "1_": 1, "_1": "_1", "0x1F": 31, "0X1f": 31, "+0x1F": 31, "0x": "0x", "0xg": "0xg",
    "0b11": 3, "-0b11": -3, "0b2": "0b2", "+5": 5, "-0": 0, ".5": 0.5, "+.5": 0.5, "5.": 5, "1.0": 1, "1e3": 1000,
    "1.5e3": 1500, "1e": "1e", ".": ".", "-.": "-.", "+": "+", "4.50": 4.5, "1e-7": 1e-7, "1_0.5": 10.5,
    "._5": "._5", "1e400": "1e400", "12:30:45": "12:30:45", "1:30": "1:30", "2024-01-01": "2024-01-01",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00", "nan": "nan", "Infinity": "Infinity", "=": "=",
    "-9223372036854775808": -(2**63), "9223372036854775808": 9.223372036854775808e18, "0xFFFFFFFFFFFFFFFF": 1.8446744073709551615e19,
    "99999999999999999999": 1e20, "1e18": 10**18, "1e21": 1e21, "!!str 5": "5", "! 5": "5", "!foo 5": "5", "!!int '3'": 3,
    "!!float 3": 3, "!!bool 'true'": True, "!!timestamp 2024-01-01": "2024-01-01", "!!binary aGVsbG8=": "hello", "!!str ~": "~",
    "!!str": "", "'yes'": "yes", '"0644"': "0644", "": None,
}  # fmt: skip


def read(text: str) -> object:
    found = [value for _, value in yaml.build(yaml.Chunk(text, 1))]
    assert len(found) == 1
    return found[0]


def by_kubectl(text: str) -> object:
    """`text` as the real kubectl hands it on; it needs no server for --local."""
    assert KUBECTL
    command = [KUBECTL, "label", "--local", "-f", "-", "-o", "json", "a=b"]
    answer = subprocess.run(command, input=HEAD + text, capture_output=True, text=True, timeout=30, check=True)
    return json.loads(answer.stdout, parse_int=go_number)["v"]


def go_number(digits: str) -> float:
    """Go has an int64 or a float64 for what it prints without a point."""
    return int(digits) if -(2**63) <= int(digits) < 2**63 else float(digits)


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=repr)
def test_scalar(text: str, value: object) -> None:
    got = read(f"v: {text}\n")["v"]
    assert (got, isinstance(got, bool)) == (value, isinstance(value, bool))


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_all_scalars_as_kubectl_reads_them() -> None:
    text = "v:\n" + "".join(f"- {scalar}\n" for scalar in SCALARS if scalar)
    assert read(text)["v"] == by_kubectl(text)


STRUCTURES = {
    "merge before": ("b: &b {x: 1, z: 2}\nv: {<<: *b, x: 9}", {"x": 9, "z": 2}),
    "merge after wins, as in kubectl": ("b: &b {x: 1, z: 2}\nv: {x: 9, <<: *b}", {"x": 1, "z": 2}),
    "the first of several merges wins": ("b: &b {x: 1}\nc: &c {x: 5, z: 6}\nv:\n  <<: [*b, *c]", {"x": 1, "z": 6}),
    "merge inline": ("v:\n  <<: {a: 1}\n  b: 2", {"a": 1, "b": 2}),
    "quoted << is a key": ("v:\n  '<<': {a: 1}", {"<<": {"a": 1}}),
    "keys become strings": ("v: {5: a, 1.5: b, on: c, 0644: d, 1e30: e, 1e-9: f}", None),
    "dates as keys": ("v: {2024-01-01: d}", {"2024-01-01": "d"}),
    "set": ("v: !!set {a, b}", {"a": None, "b": None}),
    "tagged mapping": ("v: !mine {a: 1}", {"a": 1}),
    "pairs in a list": ("v: [a: 1, b]", [{"a": 1}, "b"]),
    "literal block": ("v: |\n  a\n  ---\n  b\n", "a\n---\nb\n"),
    "folded block": ("v: >-\n  x\n  y\n", "x y"),
    "alias": ("b: &b [1, 2]\nv: *b", [1, 2]),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_structure_as_kubectl_reads_it(name: str) -> None:
    text, _ = STRUCTURES[name]
    assert read(text)["v"] == by_kubectl(text)


@pytest.mark.parametrize("name", [name for name, (_, value) in STRUCTURES.items() if value is not None])
def test_structure(name: str) -> None:
    text, value = STRUCTURES[name]
    assert read(text)["v"] == value


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)
MERGE_BOMB = "a: &a {" + ",".join(f"k{n}" for n in range(1000)) + "}\nv:\n" + "- <<: *a\n" * 1000

REFUSED = {
    "duplicate key": ("v: {a: 1,\n  a: 2}", 2, 3, "written twice"),
    "duplicate after conversion": ("v: {1: a, '1': b}", 1, 11, "written twice"),
    "tab": ("v:\n\tb: 1\n", 2, 1, "a tab cannot indent"),
    "unquoted colon": ("v: a: b", 1, 5, "quote a value"),
    "unclosed": ("v: [a\n", 2, 1, "expected ',' or ']'"),
    "infinity": ("v: .inf", 1, 4, "no form in JSON"),
    "not a number": ("v: [1, .NaN]", 1, 8, "no form in JSON"),
    "unknown anchor": ("v: *nope", 1, 4, "unknown anchor 'nope'"),
    "anchor within itself": ("v: &a [*a]", 1, 8, "contains itself"),
    "null key": ("v: {~: a}", 1, 5, "a key must be a string, not null"),
    "list as key": ("v: {? [a] : b}", 1, 7, "a key must be a string"),
    "wrong tag": ("v: !!int x", 1, 4, "cannot read 'x' as !!int"),
    "bad base64": ("v: !!binary /", 1, 4, "takes base64"),
    "merge of a scalar": ("v:\n  <<: 5", 2, 7, "<< takes a mapping"),
    "control character": ("x: 1\nv: \x07", 2, 4, "#x0007"),
    "directive only": ("%YAML 1.1\n", 2, 1, "document start"),
    "deep": ("[" * 100_000, 1, yaml.MAX_DEPTH + 1, "nested deeper"),
    "bomb": (BOMB, 6, 2 + len("fg: &g"), "more than 200000 nodes"),
    "bomb of merges": (MERGE_BOMB, 102, 7, "more than 200000 nodes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_its_place(name: str) -> None:
    text, line, column, message = REFUSED[name]
    with pytest.raises(yaml.Invalid) as refused:
        read(text)
    assert message in refused.value.message
    assert (refused.value.line, refused.value.column) == (line, column)


def test_split_keeps_lines_and_reports_bad_separators() -> None:
    chunks = list(yaml.split("a: 1\n---\nb: 2\n--- # note\r\nc: 3\n---x\nd: 4"))
    invalid = [part for part in chunks if isinstance(part, yaml.Invalid)]
    assert [(part.line, "'x' cannot follow" in part.message) for part in invalid] == [(6, True)]
    places = {}
    for part in chunks:
        if isinstance(part, yaml.Chunk):
            for (line, _), value in yaml.build(part):
                places.update(dict.fromkeys(value, line))
    assert places == {"a": 1, "b": 3, "c": 5, "d": 7}


def test_comments_make_no_document() -> None:
    assert list(yaml.build(yaml.Chunk("# nothing\n\n", 1))) == []


def test_several_documents_after_dots() -> None:
    assert [value for _, value in yaml.build(yaml.Chunk("a: 1\n...\n---\nb: &x 2\n", 1))] == [{"a": 1}, {"b": 2}]


def test_locate_finds_the_node_or_what_is_above_it() -> None:
    chunk = yaml.Chunk("spec:\n  ports:\n  - name: web\n    port: 80\n  - {name: tls, port: 443}\n", 10)
    assert yaml.locate(chunk, ("spec", "ports", 0, "port")) == (13, 5)
    assert yaml.locate(chunk, ("spec", "ports", 1, "port")) == (14, 17)
    assert yaml.locate(chunk, ("spec", "ports", 1, "absent", "deep")) == (14, 5)
    assert yaml.locate(chunk, ("nothing",)) == (10, 1)


def test_json_escapes_beyond_the_first_plane() -> None:
    assert read('{"a": "\\ud83d\\ude00", "b": "\\/"}') == {"a": "😀", "b": "/"}


def test_a_colon_inside_a_plain_scalar_in_a_flow_collection_is_no_separator() -> None:
    (chunk,) = yaml.split("a: 1\nlist: [http://x:80/y, z]\nmap: {image: nginx:1.25, octal: 0644, yes: no}\n")
    assert isinstance(chunk, yaml.Chunk)
    ((_, value),) = yaml.build(chunk)
    assert value == {"a": 1, "list": ["http://x:80/y", "z"], "map": {"image": "nginx:1.25", "octal": 420, "true": False}}
