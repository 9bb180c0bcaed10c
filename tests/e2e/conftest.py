"""Real daemons with real processes. Each test has a folder, a data folder and ports of its own."""

import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import servers


class Cluster:
    """A folder of YAML and the daemon that watches it, which a test may stop, kill and start again."""

    def __init__(self, top: pathlib.Path) -> None:
        self.folder = top / "repo"
        self.folder.mkdir()
        self.data_dir = top / "data"
        self.server: servers.Server | None = None

    def up(self, *words: str) -> servers.Server:
        self.server = servers.start(self.folder, self.data_dir, *words)
        return self.server

    def write(self, name: str, text: str) -> pathlib.Path:
        """An atomic save, as editors do it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text)
        fresh.rename(path)
        return path

    def down(self) -> None:
        if self.server is not None:
            self.server.stop()
        command = [sys.executable, "-m", "reconciler", "down", "--grace-period", "0", "--data-dir", str(self.data_dir)]
        subprocess.run(command, capture_output=True, timeout=60, check=True)


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.down()
