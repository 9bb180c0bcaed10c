"""Documentation and registries agree: what is counted or named in a document is what the code has."""

import pathlib
import re
import subprocess
import sys

from reconciler import controllers, kinds
from reconciler.cli import main

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_room_is_on_the_map() -> None:
    rooms = {path.name for path in (ROOT / "reconciler").iterdir() if path.is_dir() and not path.name.startswith("__")}
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    assert not [room for room in rooms if f"`{room}/`" not in text]


def test_links_lead_somewhere() -> None:
    broken = []
    for document in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert not broken


def test_every_verb_says_what_it_takes() -> None:
    for verb in main.VERBS:
        done = subprocess.run([sys.executable, "-m", "reconciler", verb, "--help"], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert f"usage: reconciler {verb}" in done.stdout


def test_the_verbs_of_the_readme_exist() -> None:
    named = set(re.findall(r"^reconciler (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= main.VERBS.keys()


def test_the_roster_is_as_written_down() -> None:
    """Adding a kind or a controller is adding a file; this says which there are."""
    written = (ROOT / "tests/golden/roster.txt").read_text().splitlines()
    found = [f"kind {kind.id}" for kind in kinds.builtin()] + [f"controller {one.name}" for one in controllers.builtin()]
    assert sorted(found) == written


def test_no_word_of_where_it_was_made() -> None:
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    offenders = []
    for file in files:
        path = ROOT / file
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".service", "") and path.is_file():
            text = path.read_text(errors="replace")
            if re.search(r"/work/|pypi-more|subagent", text) and file != "tests/tidy/test_documents.py":
                offenders.append(file)
    assert not offenders
