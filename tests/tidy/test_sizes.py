"""Files one can read at a sitting, functions one can see at once."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70

SOURCES = sorted((ROOT / "reconciler").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes(path: pathlib.Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES
    tree = ast.parse(text)
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)
    if text.strip():
        assert ast.get_docstring(tree), "a module opens with its role"


def test_no_vague_module_names() -> None:
    vague = [path for path in SOURCES if path.stem in {"utils", "util", "common", "helpers", "helper", "manager", "misc"}]
    assert not vague
