"""The API with chosen controllers alone, for replays and profiles: no scheduler, no folder, no node.

    python -m tests.oracle.serve --data-dir DIR [--port N] [--controllers LIST] [--profile FILE]

Prints the kubeconfig and the address once it listens. Ends on SIGTERM or SIGINT.
"""

import argparse
import asyncio
import cProfile
import pathlib
import signal
import sys

import uvloop

from reconciler import controllers
from reconciler.daemon import config, wiring
from reconciler.kit import log


class ApiOnly(wiring.Daemon):
    def _start_scheduler(self) -> None:
        pass

    def _start_controllers(self) -> None:
        """Those of the wanted ones that exist."""
        found = controllers.builtin(controllers.Facts(root_ca=self.server.authority_pem.decode()))
        driver = self.driver("controller", "kube-controller-manager")
        for controller in found:
            if controller.name in self.config.controllers:
                driver.add(controller)
        self.tasks.start(driver.run(), "controllers")


async def serve(settings: config.Config) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    daemon = ApiOnly(settings, lambda line: None)
    await daemon.start()
    print(daemon.server.kubeconfig, daemon.server.url, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await daemon.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--controllers", default="")
    parser.add_argument("--profile", type=pathlib.Path)
    arguments = parser.parse_args()
    log.setup("INFO")
    sys.setswitchinterval(0.0001)
    settings = config.Config(
        data_dir=arguments.data_dir,
        listen=f"127.0.0.1:{arguments.port}",
        metrics_listen="127.0.0.1:0",
        runtime="none",
        controllers=tuple(arguments.controllers.split(",")),
    )
    profile = cProfile.Profile() if arguments.profile else None
    if profile is not None:
        profile.enable()
    uvloop.run(serve(settings))
    if profile is not None:
        profile.disable()
        profile.dump_stats(arguments.profile)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
