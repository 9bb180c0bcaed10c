"""Trees of kustomizations, and what the real kubectl makes of them.

A tree is a text: "> PATH" begins a file, "> kubectl kustomize DIRECTORY" what it printed. Compared as documents, in
order. KUSTOMIZE_UPDATE=1 asks the kubectl on the PATH again and writes its answers.
"""

import os
import pathlib
import posixpath
import subprocess

import pytest

from reconciler.gitops import load
from reconciler.gitops.kustomize import build
from reconciler.kit import definitions
from reconciler.model.schema import Schemas

TREES = sorted(pathlib.Path(__file__).parent.glob("*.txt"))
COMMAND = "kubectl kustomize "
SCHEMAS = Schemas(definitions.load(), definitions.shapes())


class Memory:
    """Files by path."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        if self.is_directory(path):
            raise IsADirectoryError(21, "Is a directory", path)
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.files[path]

    def real(self, path: str) -> str | None:
        return posixpath.normpath(path) if path else ""

    def is_directory(self, path: str) -> bool:
        return not path or any(name.startswith(path + "/") for name in self.files)


def sections(text: str) -> list[tuple[str, str]]:
    """(what follows "> ", the lines below it); the first is what stands before any."""
    found: list[tuple[str, str]] = [("", "")]
    for line in text.splitlines(keepends=True):
        if line.startswith("> "):
            found.append((line[2:].strip(), ""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def asked(files: dict[str, bytes], directory: str, tmp_path: pathlib.Path) -> str:
    for path, data in files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path / directory)], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_as_kubectl(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (_, title), *rest = sections(path.read_text())
    files = {name: text.encode() for name, text in rest if not name.startswith(COMMAND)}
    commands = [(name, text) for name, text in rest if name.startswith(COMMAND)]
    assert commands
    if os.environ.get("KUSTOMIZE_UPDATE"):
        commands = [(name, asked(files, name.removeprefix(COMMAND), tmp_path)) for name, _ in commands]
        written = [(name, data.decode()) for name, data in files.items()] + commands
        path.write_text(title + "".join(f"> {name}\n{text}" for name, text in written))
    for name, printed in commands:
        built = build.build(Memory(files), name.removeprefix(COMMAND).removeprefix("."), SCHEMAS)
        assert not built.problems
        assert [document.body for document in built.documents] == [one.body for one in load.read(path.name, printed.encode()).documents]
