"""Starting the keeper beside the daemon, and ending all that a run folder holds."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.node.keeper import client, wire

SOCKET = "keeper.sock"
EXTERNAL_ATTEMPTS, EXTERNAL_PAUSE_SECONDS = 100, 0.1


class LaunchFailure(Exception):
    """The keeper did not start; the message is its own last words."""


def command(run_dir: Path) -> list[str]:
    """The keeper's command line: by path and without site-packages, so that it carries the least."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("__main__.py")), str(run_dir)]


async def launch(run_dir: Path) -> None:
    """Make sure a keeper serves `run_dir`; returns once its socket is open. It is no child of this process.

    With RECONCILER_KEEPER=external a service manager starts it, and here one only waits: a keeper of our own would
    live in our control group and die with us.
    """
    if os.environ.get("RECONCILER_KEEPER") == "external":
        await _appears(run_dir)
        return
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME", "TZ", "LD_LIBRARY_PATH")}
    done = await asyncio.to_thread(_start, run_dir, environment)
    if done.returncode:
        raise LaunchFailure(done.stderr.decode(errors="replace").strip() or f"the keeper ended with status {done.returncode}")


async def _appears(run_dir: Path) -> None:
    for _ in range(EXTERNAL_ATTEMPTS):
        try:
            await client.request(run_dir / SOCKET, "hello")
            return
        except (client.Gone, OSError):
            await asyncio.sleep(EXTERNAL_PAUSE_SECONDS)
    raise LaunchFailure(f"no keeper serves {run_dir}: systemctl start reconciler-keeper.service")


def _start(run_dir: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
    """In a thread: uvloop waits for more than the keeper's first process, which ends once the socket is open."""
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return subprocess.run(
        command(run_dir), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, check=False
    )


async def stop_all(run_dir: Path, most_grace_seconds: float = 0.0) -> int:
    """Remove every pod of `run_dir` and end its keeper; how many pods there were. A keeper that was killed is started for it."""
    if not run_dir.exists():  # noqa: ASYNC240
        return 0
    await launch(run_dir)
    ended = await end_pods(run_dir, "remove", most_grace_seconds)
    with contextlib.suppress(client.Gone):
        await client.request(run_dir / SOCKET, "shutdown")
    return ended


async def end_pods(run_dir: Path, operation: str, most_grace_seconds: float) -> int:
    """End every pod by the keeper's `stop` (records stay) or `remove` (nothing does); how many there were.

    Containers get their stop signal and as long as their pod gives them, but no longer than `most_grace_seconds`.
    """
    pods = (await client.request(run_dir / SOCKET, "list"))["pods"]
    await asyncio.gather(*(_end_pod(run_dir, pod, operation, most_grace_seconds) for pod in pods))
    return len(pods)


async def _end_pod(run_dir: Path, pod: Mapping[str, Any], operation: str, most_grace_seconds: float) -> None:
    grace_seconds = min(pod["pod"]["note"].get("grace_seconds", 0.0), most_grace_seconds)
    if pod["pid"] and grace_seconds > 0:
        with contextlib.suppress(client.Gone, wire.Refused, TimeoutError):  # it has ended by itself, or will be ended
            async with asyncio.timeout(grace_seconds):
                await _terminate(run_dir / "pods" / pod["uid"] / "shim.sock")
    await client.request(run_dir / SOCKET, operation, uid=pod["uid"])


async def _terminate(shim: Path) -> None:
    """Send every container its stop signal; returns once all of them have ended."""
    channel = await client.Channel.connect(shim)
    try:
        await channel.send({"op": "hello"})
        hello, _ = await channel.answer()
        living = {(one["name"], one["attempt"]): one for one in hello["containers"] if "finished_ns" not in one}
        for (name, attempt), one in living.items():
            number = signal.Signals["SIG" + (one["note"].get("stop_signal") or "TERM").removeprefix("SIG")]
            await client.request(shim, "signal", name=name, attempt=attempt, signal=int(number))
        events = channel.events()
        while living:
            event = await anext(events, None)
            if event is None:
                return
            if event["event"] == "exit":
                living.pop((event["container"]["name"], event["container"]["attempt"]), None)
    finally:
        channel.close()
