"""Deciding code decides: it does no I/O, reads no clock and draws no random numbers."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2] / "reconciler"

ALLOWED = {"base64", "binascii", "bisect", "collections", "dataclasses", "difflib", "datetime", "decimal", "enum", "fractions", "functools",
    "hashlib", "heapq", "ipaddress", "posixpath",
    "itertools", "json", "math", "operator", "re", "string", "struct", "types", "typing", "unicodedata", "weakref", "zoneinfo"}  # fmt: skip
EXTRA = {"scheduler": {"numpy"}, "model/rawjson.py": {"orjson"}, "kinds/__init__.py": {"importlib", "pkgutil"},
         "controllers/__init__.py": {"importlib", "pkgutil", "fnmatch"}}  # fmt: skip
BANNED_NAMES = {"open", "input", "print", "exec", "eval"}
BANNED_ATTRIBUTES = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
OWN_ROOMS = {"model", "kinds", "placement", "controllers", "metrics", "kit"}


def deciding() -> list[pathlib.Path]:
    found: list[pathlib.Path] = []
    for room in ("controllers", "kinds", "model", "placement", "scheduler/filters", "scheduler/scores"):
        found += (ROOT / room).rglob("*.py")
    found += [path for path in ROOT.rglob("plan.py") if path.parent != ROOT / "cli"]  # there it is a verb
    found += [path for path in (ROOT / "dns/wire.py", ROOT / "store/mvcc.py") if path.exists()]
    return sorted({path for path in found if ROOT / "kinds/schema" not in path.parents})


@pytest.mark.parametrize("path", deciding(), ids=lambda path: str(path.relative_to(ROOT)))
def test_deciding_code_is_pure(path: pathlib.Path) -> None:
    where = str(path.relative_to(ROOT))
    allowed = ALLOWED | {name for prefix, names in EXTRA.items() if where.startswith(prefix) for name in names}
    offences = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            offences += [f"imports {alias.name}" for alias in node.names if not _may_import(alias.name, allowed)]
        elif isinstance(node, ast.ImportFrom) and not _may_import(node.module or "", allowed):
            offences.append(f"imports from {node.module}")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
            offences.append(f"line {node.lineno}: is asynchronous")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_NAMES:
            offences.append(f"line {node.lineno}: calls {node.func.id}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in BANNED_ATTRIBUTES:
            offences.append(f"line {node.lineno}: reads the clock")
    assert not offences, "\n".join(offences)


def _may_import(module: str, allowed: set[str]) -> bool:
    top = module.split(".")[0]
    return top in allowed or top == "reconciler" or module == "urllib.parse"  # which takes texts apart and asks nobody
