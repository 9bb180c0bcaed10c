"""Doing what probes and lifecycle hooks ask: run a program in a container, ask a port over HTTP or TCP.

Requests go straight to the pod's address, or through a socket that the keeper opens inside the pod where the
address leads nowhere from here. An answer is a verdict with the words that the kubelet would use.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model import meta
from reconciler.node.runtimes import types

MAX_HEADER_BYTES = 16_384
MAX_BODY_BYTES = 10_240  # of a failing answer that is shown
DEFAULT_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    output: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A running container to ask."""

    pod: meta.Obj
    container: Mapping[str, Any]
    ip: str


class Asker:
    """`direct`: pod addresses can be reached from this process."""

    def __init__(self, runtime: types.Runtime, *, direct: bool) -> None:
        self._runtime = runtime
        self._direct = direct

    async def ask(self, target: Target, action: Mapping[str, Any], timeout_seconds: float) -> Verdict:
        """Do a probe's or a hook's handler; never raises but when cancelled."""
        try:
            if "exec" in action:
                return await self._run(target, action["exec"], timeout_seconds)
            async with asyncio.timeout(timeout_seconds):
                if "httpGet" in action:
                    return await self._get(target, action["httpGet"])
                if "tcpSocket" in action:
                    return await self._connects(target, action["tcpSocket"])
                if "sleep" in action:
                    await asyncio.sleep(float(action["sleep"].get("seconds") or 0))
                    return Verdict(True)
                if "grpc" in action:
                    return await self._health(target, action["grpc"])
        except TimeoutError:
            return Verdict(False, self._timed_out(target, action, timeout_seconds))
        except OSError as error:
            return Verdict(False, self._broken(target, action, timeout_seconds, error))
        return Verdict(True)

    async def _run(self, target: Target, wanted: Mapping[str, Any], timeout_seconds: float) -> Verdict:
        command = wanted.get("command") or ()
        try:
            result = await self._runtime.exec(
                meta.uid(target.pod), target.container["name"], command, timeout_seconds=timeout_seconds, limit_bytes=MAX_BODY_BYTES
            )
        except types.RuntimeFailure as failure:
            return Verdict(False, failure.message)
        if result.timed_out:
            return Verdict(False, f"command timed out: {' '.join(command)!r} timed out after {_seconds(timeout_seconds)}")
        return Verdict(result.exit_code == 0, result.output.decode(errors="replace"))

    async def _get(self, target: Target, wanted: Mapping[str, Any]) -> Verdict:
        host, port = str(wanted.get("host") or target.ip), port_number(target.container, wanted.get("port"))
        secure = str(wanted.get("scheme") or "HTTP").upper() == "HTTPS"
        reader, writer = await self._open(target, host, port, secure=secure)
        try:
            writer.write(_request(wanted, host, port))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            code = int(head.split(b" ", 2)[1])
            return Verdict(200 <= code < 400, "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
            return Verdict(False, f'Get "{_url(wanted, host, port)}": malformed HTTP response')
        finally:
            await _close(writer)

    async def _connects(self, target: Target, wanted: Mapping[str, Any]) -> Verdict:
        host, port = str(wanted.get("host") or target.ip), port_number(target.container, wanted.get("port"))
        _, writer = await self._open(target, host, port)
        await _close(writer)
        return Verdict(True)

    async def _health(self, target: Target, wanted: Mapping[str, Any]) -> Verdict:
        from reconciler.node import grpc_health  # rarely used

        reader, writer = await self._open(target, target.ip, port_number(target.container, wanted.get("port")))
        try:
            status = await grpc_health.check(reader, writer, str(wanted.get("service") or ""))
        except (asyncio.IncompleteReadError, ValueError) as error:
            return Verdict(False, f"error: health rpc probe failed: {error}")
        finally:
            await _close(writer)
        return Verdict(status == "SERVING", "" if status == "SERVING" else f'service unhealthy (responded with "{status}")')

    async def _open(
        self, target: Target, host: str, port: int, *, secure: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = _trusting() if secure else None
        if self._direct or host != target.ip:
            return await asyncio.open_connection(host, port, ssl=context, limit=MAX_HEADER_BYTES)
        try:
            descriptor = await self._runtime.open_socket(meta.uid(target.pod), connect=(host, port))
        except types.RuntimeFailure as failure:
            raise OSError(failure.message) from failure
        sock = socket.socket(fileno=descriptor)
        await _connected(sock)
        return await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host if secure else None, limit=MAX_HEADER_BYTES)

    def _timed_out(self, target: Target, action: Mapping[str, Any], timeout_seconds: float) -> str:
        if "httpGet" in action:
            wanted = action["httpGet"]
            url = _url(wanted, str(wanted.get("host") or target.ip), port_number(target.container, wanted.get("port")))
            return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        if "grpc" in action:
            return f"timeout: health rpc did not complete within {_seconds(timeout_seconds)}"
        port = port_number(target.container, (action.get("tcpSocket") or {}).get("port"))
        return f"dial tcp {target.ip}:{port}: i/o timeout"

    def _broken(self, target: Target, action: Mapping[str, Any], timeout_seconds: float, error: OSError) -> str:
        wanted = action.get("httpGet") or action.get("tcpSocket") or action.get("grpc") or {}
        host, port = str(wanted.get("host") or target.ip), port_number(target.container, wanted.get("port"))
        if "grpc" in action:  # the kubelet's client tries again until its time is over
            return f'timeout: failed to connect service "{host}:{port}" within {_seconds(timeout_seconds)}: context deadline exceeded'
        detail = f"dial tcp {host}:{port}: connect: {_cause(error)}"
        return f'Get "{_url(wanted, host, port)}": {detail}' if "httpGet" in action else detail


def port_number(container: Mapping[str, Any], port: Any) -> int:
    """A port by number or by its name among the container's; 0 for a name that it does not have."""
    if isinstance(port, int) or str(port).isdecimal():
        return int(port)
    return next((int(one["containerPort"]) for one in container.get("ports") or () if one.get("name") == port), 0)


def _request(wanted: Mapping[str, Any], host: str, port: int) -> bytes:
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.36", "Accept": "*/*", "Connection": "close"}
    for header in wanted.get("httpHeaders") or ():
        headers[str(header["name"]).title()] = str(header.get("value") or "")
    path = str(wanted.get("path") or "/")
    lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _url(wanted: Mapping[str, Any], host: str, port: int) -> str:
    path = str(wanted.get("path") or "/")
    return f"{str(wanted.get('scheme') or 'HTTP').lower()}://{host}:{port}{path if path.startswith('/') else '/' + path}"


def _trusting() -> ssl.SSLContext:
    """Probes do not verify, as the kubelet's do not."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _connected(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(sock, _set, ready)
    try:
        await ready
    except BaseException:
        sock.close()
        raise
    finally:
        if sock.fileno() >= 0:
            loop.remove_writer(sock.fileno())
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        sock.close()
        raise OSError(error, "connect")


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _cause(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError) or error.errno == 111:
        return "connection refused"
    return (error.strerror or str(error)).lower()


def _seconds(seconds: float) -> str:
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds}s"
