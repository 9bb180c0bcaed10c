"""Tries the systemd units on a machine of their own, with real starts, watchdogs, upgrades, reboots and power cuts.

    python -m tests.machine FOLDER nspawn|qemu      FOLDER keeps the tree and the disk

Needs root, debootstrap and a Debian mirror, so it is no part of the suite. What is tried is trial.py, which runs inside
as a service, over several boots, and prints what it finds on the console. Power is cut from here, when it asks for it.
"""

import pathlib
import signal
import subprocess
import sys
from typing import Protocol

from tests.machine import nspawn, qemu

MAX_BOOTS = 6
ASKED_FOR_POWER_CUT, ENDED = "trial: cut the power", ("trial: all is well", "trial: FAILED")


class Machine(Protocol):
    def start(self) -> "subprocess.Popen[str]": ...

    def cut_power(self) -> None: ...

    def close(self) -> None: ...


def watch(machine: Machine, console: pathlib.Path) -> bool:
    """Whether all was well, once the trial has ended."""
    text = ""
    with console.open("w") as log:
        for _ in range(MAX_BOOTS):
            process = machine.start()
            for line in process.stdout or ():
                text += line
                log.write(line)
                log.flush()
                if "trial: " in line:
                    print(line[line.index("trial: ") :].rstrip(), flush=True)
                if ASKED_FOR_POWER_CUT in line:
                    machine.cut_power()
            process.wait()
            if any(words in text for words in ENDED):
                break
    return ENDED[0] in text and ENDED[1] not in text


def main(folder: pathlib.Path, kind: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whoever ends this leaves no machine behind
    print(f"trial: on {kind}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    machine: Machine = {"qemu": qemu.Machine, "nspawn": nspawn.Machine}[kind](folder)
    try:
        return 0 if watch(machine, folder / "console.log") else 1
    finally:
        machine.close()


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).absolute(), sys.argv[2]))
