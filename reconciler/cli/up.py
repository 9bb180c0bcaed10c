"""`reconciler up`: everything in one process, until SIGTERM or SIGINT; the containers stay."""

import argparse
import gc
import importlib
import logging
import os
import pathlib
import sys
import threading
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import main


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=pathlib.Path, metavar="FOLDER", help="the folder of YAML that is the desired state")
    parser.add_argument("--syncs", action="store_true", default=None, help="follow Sync objects though no folder is given")
    parser.add_argument(
        "--data-dir", type=pathlib.Path, metavar="DIR", help="journal, certificates and logs (default: /var/lib/reconciler for root)"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="the API (default: 127.0.0.1:6443)")
    parser.add_argument("--metrics-listen", metavar="HOST:PORT", help="metrics (default: 127.0.0.1:9464)")
    parser.add_argument("--runtime", choices=("process", "sim", "none"), help="what runs pods (default: process)")
    parser.add_argument("--nodes", type=int, metavar="N", help="simulated nodes, with --runtime sim (default: 3)")
    parser.add_argument("--controllers", metavar="LIST", help="which controllers run: * for the default ones, name, -name")
    parser.add_argument("--host-images", action="store_true", default=None, help="run images that are not loaded on the host's own files")
    parser.add_argument("--config", type=pathlib.Path, metavar="FILE", help="a file with these settings and more")
    parser.add_argument(
        "--scheduler-config", type=pathlib.Path, metavar="FILE", help="the scheduler's profiles: a KubeSchedulerConfiguration"
    )


def run(arguments: argparse.Namespace) -> int:
    gc.disable()  # nothing that is imported is garbage; `heap.prepare` turns it on
    # It reads the system's certificates when it is imported, 40 ms for which it does not need the interpreter.
    threading.Thread(target=importlib.import_module, args=("aiohttp",), daemon=True).start()
    from reconciler.daemon import config

    given: dict[str, Any] = {key: value for key, value in vars(arguments).items() if value is not None and key != "config"}
    if "controllers" in given:
        given["controllers"] = tuple(name.strip() for name in given["controllers"].split(",") if name.strip())
    given.setdefault("data_dir", connections.default_data_dir())
    if "folder" in given and not given["folder"].is_dir():
        raise main.Refused(f"{given['folder']}: not a folder")
    try:
        settings = config.load(arguments.config, given)
        if settings.scheduler_config is not None:
            from reconciler.daemon import scheduling

            scheduling.load(settings.scheduler_config)  # only to refuse what is wrong before anything starts
    except config.ConfigError as error:
        print(f"reconciler up: {error}", file=sys.stderr)
        return 2
    from reconciler import controllers
    from reconciler.daemon import run as daemon

    try:
        controllers.enabled(controllers.builtin(), settings.controllers)
    except ValueError as error:
        print(f"reconciler up: --controllers: {error}", file=sys.stderr)
        return 2
    code = daemon.run(settings)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is closed and on disk: the heap is left to the kernel, for to take it apart would last the longest
