"""The built-in kinds as a whole: complete, consistent, pure, cheap to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler import kinds
from reconciler.kit import definitions
from reconciler.model import schema
from reconciler.model.kind import Kind

FOLDER = Path(kinds.__file__).parent
ALLOWED = {
    *("base64", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "enum", "fractions", "functools"),
    *("hashlib", "heapq", "ipaddress", "itertools", "json", "math", "posixpath", "re", "string", "typing", "urllib.parse"),
}
BUILTIN = sorted(kinds.builtin(), key=lambda kind: kind.id)


def test_every_file_with_a_kind_is_collected() -> None:
    exporting = [path for path in FOLDER.glob("*.py") if "\nKIND = " in path.read_text() or "\nKINDS = " in path.read_text()]
    assert len(exporting) > 25
    assert {"pods", "deployments.apps", "events", "events.events.k8s.io"} <= {kind.id for kind in BUILTIN}


@pytest.mark.parametrize("kind", BUILTIN, ids=lambda kind: kind.id)
def test_a_record_is_consistent(kind: Kind) -> None:
    schemas = schema.Schemas(definitions.load(), definitions.shapes())
    assert kind.plural == kind.plural.lower()
    assert kind.singular == kind.kind.lower()
    assert kind.hub_version.schema
    for version in kind.versions:
        assert isinstance(version.schema, str)
        node = schemas.of(version.schema)
        assert node.field("metadata") is not None or "create" in kind.verbs
    for column in kind.columns:
        described = schema.described(schemas.of(kind.hub_version.schema), column.description)
        assert described or not column.description.startswith("@"), column.name
    if kind.storage_id != kind.id:
        assert kinds.builtin()[kind.storage_id].storage_id == kind.storage_id


@pytest.mark.parametrize("kind", [kind for kind in BUILTIN if "update" in kind.verbs], ids=lambda kind: kind.id)
def test_defaults_and_cells_cope_with_an_empty_object(kind: Kind) -> None:
    """Controllers and tables meet objects that hold nothing but their names."""
    for version in kind.versions:
        empty = {"apiVersion": kind.api_version(version.name), "kind": kind.kind, "metadata": {"name": "x"}}
        defaulted = version.default(empty)
        assert version.default(defaulted) == defaulted
        hub = version.to_hub(defaulted)
        for column in kind.columns:
            column.cell(hub, 0.0)
        kind.health(hub)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_kinds_are_pure(path: Path) -> None:
    if path.parent.name == "schema" or path == FOLDER / "__init__.py":
        return  # the build hook and the collecting of modules
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {name.name for name in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom):
            is_clock = node.module == "reconciler.kit" and [name.name for name in node.names] == ["clock"]  # reads and writes times
            assert is_clock or node.module in ALLOWED or (node.module or "").startswith(("reconciler.kinds", "reconciler.model"))
        assert not isinstance(node, ast.AsyncFunctionDef)


def test_importing_kinds_needs_nothing_heavy() -> None:
    program = "import sys; from reconciler import kinds; kinds.builtin(); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert not {"aiohttp", "asyncio", "jsonschema_rs", "numpy", "orjson", "pydantic", "ssl"} & set(loaded)
