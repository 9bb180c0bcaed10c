"""Real daemons for tests and benches: started in folders and on ports of their own, stopped whatever happens."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

START_SECONDS = 30.0


@dataclasses.dataclass
class Server:
    folder: pathlib.Path
    data_dir: pathlib.Path
    process: subprocess.Popen[str]
    output: pathlib.Path

    @property
    def kubeconfig(self) -> pathlib.Path:
        return self.data_dir / "admin.kubeconfig"

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *words], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr}\n{self.log()}")
        return done.stdout

    def json(self, *words: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl(*words, "-o", "json")))

    def cli(self, verb: str, *words: str, check: bool = True) -> str:
        command = [sys.executable, "-m", "reconciler", verb, *words, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode:
            raise AssertionError(f"reconciler {verb}: {done.stderr}\n{self.log()}")
        return done.stdout + ("" if check else done.stderr)

    @property
    def metrics_port(self) -> int:
        found = re.findall(r"metrics on http://[^:]+:(\d+)/metrics", self.output.read_text())
        return int(found[-1])

    def log(self) -> str:
        return self.output.read_text()[-8000:]

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(20)


def settings(path: pathlib.Path, **given: Any) -> pathlib.Path:
    """A configuration file; by default no pod is evicted, however full the disk of this machine is."""
    path.write_text(json.dumps({"evictionHard": {}, **given}))
    return path


def start(folder: pathlib.Path, data_dir: pathlib.Path, *words: str, env: dict[str, str] | None = None) -> Server:
    """`reconciler up`, returned once it says that it is ready."""
    data_dir.mkdir(parents=True, exist_ok=True)
    output = data_dir.parent / f"{data_dir.name}.log"
    if "--config" not in words:
        words = *words, "--config", str(settings(data_dir.parent / f"{data_dir.name}.yaml"))
    command = [sys.executable, "-m", "reconciler", "up", str(folder), "--data-dir", str(data_dir)]
    command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *words]
    with output.open("a") as stream:
        offset = stream.tell()
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})})
    server = Server(folder, data_dir, process, output)
    deadline = time.monotonic() + START_SECONDS
    while "\nready: " not in "\n" + output.read_text()[offset:]:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError(f"`reconciler up` did not become ready:\n{server.log()}")
        time.sleep(0.02)
    return server


@contextlib.contextmanager
def running(*words: str, folder: pathlib.Path | None = None) -> Iterator[Server]:
    """A daemon in a temporary data folder; its containers are stopped too at the end."""
    with tempfile.TemporaryDirectory(prefix="reconciler-") as top:
        own = pathlib.Path(top)
        empty = own / "repo"
        empty.mkdir()
        server = start(folder or empty, own / "data", *words)
        try:
            yield server
        finally:
            server.stop()
            subprocess.run(
                [sys.executable, "-m", "reconciler", "down", "--grace-period", "0", "--data-dir", str(server.data_dir)],
                capture_output=True,
                timeout=60,
                check=False,
            )


def eventually(check: Any, seconds: float = 20.0) -> Any:
    """The first true value of `check()`; fails with its last value when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {seconds:g} s")
        time.sleep(0.02)
    return value
