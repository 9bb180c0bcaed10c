"""A request to switch protocols, handed to a program that is connected already: bytes both ways once it agrees.

What the program answers instead of 101 is passed on as it is. Nothing is kept of what flows.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from aiohttp import web

from reconciler.api.connect import limits, upgrade
from reconciler.kit import tasks

HEAD_MOST_BYTES = 64 * 1024
REFUSAL_SECONDS = 10.0  # for the rest of an answer that refuses
Failures = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


async def switched(
    request: web.BaseRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: str, headers: Mapping[str, str]
) -> web.StreamResponse:
    """`asked` is the path and query, `headers` are all but those of the connection. Raises Failures while the client knows nothing yet."""
    lines = [f"{request.method} {asked} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines += ["Connection: Upgrade", f"Upgrade: {request.headers.get('Upgrade', '')}"]
    head = await _answered(reader, writer, lines)
    program, client = upgrade.Socket(reader, writer), upgrade.Raw(request)
    try:
        await client.write(head)
        if head.split(b" ", 2)[1:2] == [b"101"]:
            await _coupled(client, program)
        else:
            async with asyncio.timeout(REFUSAL_SECONDS):
                await upgrade.pump(program, client)
    except OSError:
        pass  # one of the two is gone, or the refusal is at its end
    finally:
        await program.close()
        await client.close()
    return upgrade.Switched()


async def _answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: list[str]) -> bytes:
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
        await writer.drain()
        return await reader.readuntil(b"\r\n\r\n")
    except Failures:
        writer.close()
        raise


async def _coupled(client: upgrade.ByteStream, program: upgrade.ByteStream) -> None:
    """Until one of them ends, or nothing has moved for long."""
    async with limits.idle() as idle:
        await tasks.until_one_ends(_pump(client, program, idle), _pump(program, client, idle))


async def _pump(source: upgrade.ByteStream, target: upgrade.ByteStream, idle: limits.Idle) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read():
            idle.moved()
            await target.write(data)
