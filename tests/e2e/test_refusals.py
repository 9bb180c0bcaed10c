"""What cannot work ends with one line that says what to do, and an exit code; nothing is lost."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from tests.e2e.conftest import Cluster


def up(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler", "up", "--runtime", "none", "--metrics-listen", "127.0.0.1:0", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_second_daemon_on_the_same_folder(cluster: Cluster) -> None:
    server = cluster.up("--runtime", "none")
    done = up("--data-dir", str(cluster.data_dir), "--listen", "127.0.0.1:0")
    assert done.returncode == os.EX_CONFIG
    assert f"in use by process {server.process.pid}" in done.stderr
    assert "default" in server.kubectl("get", "namespaces", "-o", "name")


def test_a_taken_port(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        done = up("--data-dir", str(tmp_path / "data"), "--listen", f"127.0.0.1:{port}")
    assert done.returncode == os.EX_CONFIG
    assert "choose another with --listen" in done.stderr


def test_a_data_folder_that_cannot_be_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").write_text("")
    done = up("--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert done.returncode == os.EX_CONFIG
    assert str(tmp_path / "data") in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lissten: x", "lissten"),
        ("listen: nowhere", "listen: Value error, want HOST:PORT"),
        ("nodes: 0", "nodes"),
        ("- a", "want a mapping"),
        ("nodes: 2\n---\nkind: KubeSchedulerConfiguration\n", "config.yaml:3: apiVersion: Field required"),
    ],
)
def test_a_bad_configuration(tmp_path: pathlib.Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    done = up("--data-dir", str(tmp_path / "data"), "--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 2
    assert message in done.stderr


def test_a_controller_that_does_not_exist(tmp_path: pathlib.Path) -> None:
    done = up("--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--controllers", "deploymnt")
    assert done.returncode == 2
    assert "deploymnt" in done.stderr


def test_a_damaged_journal(cluster: Cluster) -> None:
    cluster.up("--runtime", "none").stop()
    path = cluster.data_dir / "journal.db"
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = bytes(b ^ 0x55 for b in damaged[4096:])
    path.write_bytes(damaged)
    done = up("--data-dir", str(cluster.data_dir), "--listen", "127.0.0.1:0")
    assert done.returncode == os.EX_CONFIG
    assert "restore" in done.stderr
