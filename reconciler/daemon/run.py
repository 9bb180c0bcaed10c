"""The process: from settings to an exit code.

Everything that can be wrong before the first request (a taken port, a folder in use, a broken journal) ends here as
one line that says what to do. Exit codes: 0 stopped as asked, 1 something failed while running, 2 bad settings,
74 a write could not be made durable (the journal ends the process itself), 78 it cannot start as configured.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys

from reconciler.api.auth import certificates
from reconciler.daemon import heap
from reconciler.daemon.config import Config
from reconciler.daemon.wiring import Daemon
from reconciler.kit import lines, notify
from reconciler.kit import log as logs
from reconciler.store import types

logger = logging.getLogger(__name__)

LAST_LINES_SECONDS = 1.0  # how long the end waits for whoever reads our lines


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    heap.prepare()
    logs.setup(config.log_level)
    out = lines.Lines(sys.stdout.fileno())
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(config, out))
    except types.JournalError as error:
        print(f"reconciler up: {error}", file=sys.stderr)
    except certificates.Unusable as error:
        print(f"reconciler up: {error}", file=sys.stderr)
    except OSError as error:
        print(f"reconciler up: {_explained(error)}", file=sys.stderr)
    finally:
        out.flush(LAST_LINES_SECONDS)
    return os.EX_CONFIG


async def _serve(config: Config, out: lines.Lines) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    notifier = notify.Notifier()
    daemon = Daemon(config, out.put)
    try:
        starting = asyncio.ensure_future(daemon.start())
        if await _first(starting, stopping) is not starting:
            return 0
        await starting
        notifier.send("READY=1", f"STATUS=serving on {daemon.address}")
        kubeconfig = config.data_dir / "admin.kubeconfig"
        out.put(f"ready: API on https://{daemon.address}, kubeconfig {kubeconfig}, metrics on http://{daemon.metrics_address}/metrics")
        out.flush(0)
        return await _until_stopped(daemon, notifier, stopping)
    finally:
        notifier.send("STOPPING=1")
        await daemon.close()


async def _until_stopped(daemon: Daemon, notifier: notify.Notifier, stopping: asyncio.Event) -> int:
    failing = asyncio.ensure_future(daemon.join())
    beating = asyncio.ensure_future(_beat(notifier))
    try:
        if await _first(failing, stopping) is not failing:
            return 0
        error = failing.exception()
        logger.critical("a component failed", exc_info=error)
        return 1
    finally:
        for task in (failing, beating):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):  # its failure has been told above
                await task


async def _beat(notifier: notify.Notifier) -> None:
    """Tell systemd's watchdog that the event loop turns."""
    while notifier.watchdog_seconds:
        notifier.send("WATCHDOG=1")
        await asyncio.sleep(notifier.watchdog_seconds)


async def _first(work: "asyncio.Future[None]", stopping: asyncio.Event) -> "asyncio.Future[None] | None":
    """`work` if it ended before anybody asked to stop; else it is cancelled and None."""
    asked = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if work.done():
        return work
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    return None


def _explained(error: OSError) -> str:
    if error.errno == 98:
        return f"{error.strerror or error}: another program listens there; choose another with --listen or --metrics-listen"
    return str(error)
