"""What cannot work ends with one line that says what to do, and an exit code; nothing is lost."""

import base64
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from reconciler.api.auth import certificates
from reconciler.kit import clock as clocks
from tests import servers
from tests.e2e.conftest import Cluster

UP = [sys.executable, "-m", "reconciler", "up", "--runtime", "none", "--metrics-listen", "127.0.0.1:0"]


def up(*words: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*before, *UP, *words], capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def started(folder: pathlib.Path, before: Sequence[str]) -> Iterator[servers.Server]:
    """A daemon in a mount namespace of its own, whose data folder is reached through its process."""
    output = folder.with_suffix(".log")
    with output.open("w") as stream:
        command = [*before, *UP, "--data-dir", str(folder), "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, text=True)
    server = servers.Server(folder, pathlib.Path(f"/proc/{process.pid}/root{folder}"), process, output)
    try:
        servers.eventually(lambda: "\nready: " in "\n" + output.read_text(), 30)
        yield server
    finally:
        server.stop()


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


def test_a_taken_metrics_port(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        done = up("--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--metrics-listen", f"127.0.0.1:{port}")
    assert done.returncode == os.EX_CONFIG
    assert "--metrics-listen" in done.stderr


def test_a_data_folder_that_may_not_be_written(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o500)
    before = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o ro none {folder} && exec "$@"', "-"] if os.geteuid() == 0 else []
    if before and subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    done = up("--data-dir", str(folder), "--listen", "127.0.0.1:0", before=before)
    assert done.returncode == os.EX_CONFIG
    assert f"cannot write to {folder}" in done.stderr
    assert "make it writable or choose another data folder" in done.stderr


def authority(folder: pathlib.Path, days_ago: int) -> certificates.Authority:
    """The one of a data folder, with a clock that is behind."""
    made = certificates.Authority(folder / "pki", clocks.VirtualClock(time.time() - days_ago * 86_400))
    made.load_or_make()
    return made


def test_expired_certificates(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    old = authority(cluster.data_dir, 400)
    before = old.pair_for("apiserver", certificates.Identity("kube-apiserver", hosts=("127.0.0.1", "localhost"))).certificate.read_bytes()
    server = cluster.up("--runtime", "none")
    assert "default" in server.kubectl("get", "namespaces", "-o", "name")  # whose certificates were made anew
    assert (cluster.data_dir / "pki" / "apiserver.crt").read_bytes() != before
    client = old.pair_for("client", certificates.Identity(certificates.ADMIN, groups=(certificates.MASTERS,)))
    text = json.loads(server.kubeconfig.read_text())
    files = {"client-certificate-data": client.certificate, "client-key-data": client.key}
    text["users"][0]["user"] = {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
    (tmp_path / "old.kubeconfig").write_text(json.dumps(text))
    command = ["kubectl", "--kubeconfig", str(tmp_path / "old.kubeconfig"), "get", "namespaces"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "certificate has expired or is not yet valid" in done.stderr
    assert "default" in server.kubectl("get", "namespaces", "-o", "name")


def test_an_expired_authority(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "EARLIEST", 0.0)
    authority(tmp_path / "data", certificates.CA_DAYS + 10)
    done = up("--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert done.returncode == os.EX_CONFIG
    assert "ca.crt expired on" in done.stderr


def test_one_damaged_page(cluster: Cluster) -> None:
    server = cluster.up("--runtime", "none")
    for n in range(5):
        server.kubectl("create", "configmap", f"big-{n}", f"--from-literal=a={'x' * 20_000}")
    server.stop()
    path = cluster.data_dir / "journal.db"
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2 // 4096 * 4096
    damaged[middle : middle + 4096] = bytes(b ^ 0x55 for b in damaged[middle : middle + 4096])
    path.write_bytes(damaged)
    done = up("--data-dir", str(cluster.data_dir), "--listen", "127.0.0.1:0")
    assert done.returncode == os.EX_CONFIG
    assert "restore" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own has to be mounted")
def test_a_full_disk(tmp_path: pathlib.Path) -> None:
    """Reads and deletes go on, writes are refused until there is room again; nothing is lost."""
    folder = tmp_path / "data"
    folder.mkdir()
    script = f'mount -t tmpfs -o size=96m none {folder} && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", script, "-"]
    if subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    with started(folder, before) as server:
        path = server.data_dir / "filling"
        with path.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        body = "x" * 500_000

        def refused() -> str:
            answer = server.kubectl("create", "configmap", f"c{time.monotonic_ns()}", f"--from-literal=a={body[:100_000]}", check=False)
            return "" if "created" in answer else server.log()

        servers.eventually(refused, 60)
        names = server.kubectl("get", "configmaps", "-o", "name").split()
        assert "configmap/kube-root-ca.crt" in names
        server.kubectl("delete", "configmap", "kube-root-ca.crt")
        assert server.process.poll() is None
        path.unlink()
        servers.eventually(lambda: "created" in server.kubectl("create", "configmap", f"after{time.monotonic_ns()}", check=False), 60)
        assert set(names) - {"configmap/kube-root-ca.crt"} <= set(server.kubectl("get", "configmaps", "-o", "name").split())
