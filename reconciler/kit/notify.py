"""systemd's notification protocol (sd_notify(3)): ready, stopping, watchdog, status.

Does nothing where no service manager asked for it.
"""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Datagrams to $NOTIFY_SOCKET, which is removed from the environment so that no child sends them too."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        self._address = found.get("NOTIFY_SOCKET", "")
        watchdog_microseconds = int(found.get("WATCHDOG_USEC") or 0)
        addressed_to = found.get("WATCHDOG_PID")
        mine = not addressed_to or int(addressed_to) == os.getpid()
        # Half of the limit, as sd_watchdog_enabled(3) advises; 0 when there is no watchdog.
        self.watchdog_seconds = watchdog_microseconds / 2_000_000 if mine else 0.0
        if environment is None:
            for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
                os.environ.pop(name, None)

    def send(self, *lines: str) -> None:
        """Such as READY=1, STATUS=..., WATCHDOG=1, STOPPING=1."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(lines).encode(), address)
