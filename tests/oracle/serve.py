"""The API server alone, for replays and profiles: journal, API and nothing that acts on objects.

    python -m tests.oracle.serve --data-dir DIR [--port N] [--profile FILE]

Writes DIR/admin.kubeconfig and prints its path once it listens. Ends on SIGTERM or SIGINT.
"""

import argparse
import asyncio
import cProfile
import logging
import pathlib
import signal
import sys

import uvloop

from reconciler import kinds
from reconciler.api import apiserver, server
from reconciler.kit import clock, log
from reconciler.store import local


async def serve(data_dir: pathlib.Path, port: int) -> None:
    time = clock.SystemClock()
    data_dir.mkdir(parents=True, exist_ok=True)
    journal = await local.LocalJournal.open(data_dir / "journal", time)
    api = apiserver.ApiServer(journal, kinds.builtin(), time)
    await api.start()
    http = server.HttpServer(api, server.Listen(port=port, socket=data_dir / "api.sock"), data_dir)
    await http.start()
    print(http.kubeconfig, http.url, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await http.close()
    await api.close()
    await journal.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--profile", type=pathlib.Path)
    arguments = parser.parse_args()
    log.setup(logging.getLevelName(logging.INFO))
    sys.setswitchinterval(0.0001)
    profile = cProfile.Profile() if arguments.profile else None
    if profile is not None:
        profile.enable()
    uvloop.run(serve(arguments.data_dir, arguments.port))
    if profile is not None:
        profile.disable()
        profile.dump_stats(arguments.profile)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
