"""Repositories behind real doors: a token over HTTP, a key over SSH, signatures of OpenPGP."""

import base64
import contextlib
import getpass
import http.server
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator

import pytest

from reconciler.gitops import remote, sync
from tests.unit.gitops.test_fleet import commit, git, repository, ssh_key
from tests.unit.gitops.world import config

TOKEN = "hush-hush"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Door(http.server.BaseHTTPRequestHandler):
    """git's own CGI program, for those who know the token."""

    root: pathlib.Path

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes) -> None:
        wanted = "Basic " + base64.b64encode(f"robot:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_error(401)
            return
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        answer = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, timeout=60, check=True).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Not of interest."""


@contextlib.contextmanager
def served(root: pathlib.Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Door,), {"root": root}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_a_token_over_http(tmp_path: pathlib.Path) -> None:
    origin = repository(tmp_path / "origin")
    made = commit(origin, "a.yaml", config("a"))
    with served(tmp_path) as address:
        follower, wanted = remote.Remote(tmp_path / "data"), sync.Git(url=f"{address}/origin/.git")
        with pytest.raises(remote.Unreachable):
            await follower.fetch(wanted)
        for wrong in ({"token": b"guess"}, {"username": b"robot", "password": b"guess"}):
            with pytest.raises(remote.Unreachable) as refused:
                await follower.fetch(wanted, remote.Credentials(wrong))
            assert "guess" not in str(refused.value)
        access = remote.Credentials({"username": b"robot", "password": TOKEN.encode() + b"\n"})
        assert await follower.fetch(wanted, access) == made
        assert (tmp_path / "data/checkout/a.yaml").read_text() == config("a")
        assert TOKEN not in "".join(path.read_text(errors="replace") for path in (tmp_path / "data").rglob("*") if path.is_file())


@contextlib.contextmanager
def shell_server(top: pathlib.Path, authorized: bytes) -> Iterator[tuple[int, bytes]]:
    """An sshd of our own: its port, and its public key."""
    assert SSHD is not None
    if os.geteuid() == 0:
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself up
    host = ssh_key(top / "host")
    (top / "authorized").write_bytes(authorized)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"Port": port, "ListenAddress": "127.0.0.1", "HostKey": top / "host", "AuthorizedKeysFile": top / "authorized"}
    settings |= {"StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "PidFile": "none", "PermitRootLogin": "yes"}
    (top / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(top / "sshd_config")], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "listening" in line:
                break
        else:
            pytest.skip("sshd does not start here")
        yield port, host
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.skipif(SSHD is None, reason="sshd is not installed")
async def test_a_key_over_ssh(tmp_path: pathlib.Path) -> None:
    origin = repository(tmp_path / "origin")
    made = commit(origin, "a.yaml", config("a"))
    public = ssh_key(tmp_path / "mine")
    ssh_key(tmp_path / "other")
    with shell_server(tmp_path, public) as (port, host):
        wanted = sync.Git(url=f"ssh://{getpass.getuser()}@127.0.0.1:{port}{origin}")
        known = {"known_hosts": f"[127.0.0.1]:{port} ".encode() + host}
        follower = remote.Remote(tmp_path / "data")
        mine, other = ({"identity": (tmp_path / name).read_bytes()} for name in ("mine", "other"))
        with pytest.raises(remote.Unreachable, match="Host key verification failed"):
            await follower.fetch(wanted, remote.Credentials(mine))
        with pytest.raises(remote.Unreachable, match="Permission denied"):
            await follower.fetch(wanted, remote.Credentials(other | known))
        assert await follower.fetch(wanted, remote.Credentials(mine | known)) == made
    assert not (tmp_path / "data/private").exists()


@contextlib.contextmanager
def key_ring() -> Iterator[dict[str, str]]:
    """The environment of a GnuPG of our own; its sockets need a short path."""
    home = tempfile.mkdtemp(prefix="gpg-")
    environment = {**os.environ, "GNUPGHOME": home}
    try:
        yield environment
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


def openpgp_key(environment: dict[str, str], name: str) -> bytes:
    """Make a key; its public half."""
    words = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never"]
    subprocess.run(words, env=environment, capture_output=True, check=True)
    return subprocess.run(["gpg", "--batch", "--armor", "--export", name], env=environment, capture_output=True, check=True).stdout


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
async def test_openpgp_signatures(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = repository(tmp_path / "origin")
    commit(origin, "a.yaml", config("a"))
    with key_ring() as environment:
        mine, other = openpgp_key(environment, "a@example.com"), openpgp_key(environment, "b@example.com")
        monkeypatch.setenv("GNUPGHOME", environment["GNUPGHOME"])
        git(origin, "-c", "user.signingKey=a@example.com", "commit", "-q", "--amend", "--no-edit", "-S")
        monkeypatch.delenv("GNUPGHOME")
        follower, wanted = remote.Remote(tmp_path / "data"), sync.Git(url=str(origin))
        with pytest.raises(remote.Unreachable, match="is not signed by anyone who may"):
            await follower.fetch(wanted, signers=remote.Credentials({"b.asc": other}))
        assert not (tmp_path / "data/checkout/a.yaml").exists()
        await follower.fetch(wanted, signers=remote.Credentials({"a.asc": mine, "b.asc": other}))
        assert (tmp_path / "data/checkout/a.yaml").exists()
