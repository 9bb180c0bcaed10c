"""Repositories as people keep them, and what is forecast of a change to each.

A line that begins with "> " is a command, what follows belongs to it:
  write PATH        the file's content
  remove PATH       move OLD NEW
  commit            what runs so far
  plan [DIRECTORY]  what would happen from there to what the files say now, which then runs
Names of pods go without their hash, those of nodes altogether, times without fractions of a second. GOLDEN_UPDATE=1 writes what came out.
"""

import os
import pathlib
import re
import shutil

import pytest

from reconciler.foresight import forecast, report, world
from tests.golden import commands

SCRIPTS = sorted(pathlib.Path(__file__).parent.glob("*.txt"))
NOW = 1_800_000_000.0
NODES = 3


class Repository:
    """A checkout, and what of it runs."""

    def __init__(self, top: pathlib.Path) -> None:
        self.tree, self.running = top / "tree", top / "running"
        (self.tree / ".git").mkdir(parents=True)

    def run(self, command: str, body: str) -> str:
        verb, *arguments = command.split()
        output = getattr(self, "do_" + verb)(body, *arguments)
        return body if output is None else str(output)

    def do_write(self, body: str, path: str) -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(body)

    def do_remove(self, body: str, path: str) -> None:
        (self.tree / path).unlink()

    def do_move(self, body: str, old: str, new: str) -> None:
        (self.tree / new).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / old).rename(self.tree / new)

    def do_commit(self, body: str) -> None:
        shutil.rmtree(self.running, ignore_errors=True)
        shutil.copytree(self.tree, self.running)

    def do_plan(self, body: str, directory: str = ".") -> str:
        question = forecast.Question(
            beginning=world.Beginning(now=NOW, nodes=NODES), before=self.running / directory, folder=self.tree / directory
        )
        text = report.text(forecast.forecast(question))
        self.do_commit(body)
        return shown(text)


def shown(text: str) -> str:
    """A report without what another version of the scheduler's or controllers' pace or naming changes."""
    text = re.sub(r"(-[bcdfghjklmnpqrstvwxz2456789]{7,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-*", text)
    text = re.sub(r"(?m)^([+-]) +(\d+)\.\d s ", lambda found: f"{found[1]} {found[2]:>3} s ", text)
    text = re.sub(r" on sim-\d+", " on a node", text)
    return re.sub(r"\n{2,}", "\n", text)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_plan(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    repository = Repository(tmp_path)
    expected = path.read_text()
    came = ""
    for command, body in commands.steps(expected):
        came += f"> {command}\n{repository.run(command, body)}" if command else body
    if os.environ.get("GOLDEN_UPDATE"):
        path.write_text(came)
    assert came == expected
