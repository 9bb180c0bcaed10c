"""exec and attach over WebSocket channels and over SPDY, with a program that echoes."""

import base64
import json
from typing import Any

import aiohttp
import pytest

from reconciler.api.connect import remote_command
from tests.unit.api.connect import world as worlds
from tests.unit.api.connect.world import World

EXEC = "/api/v1/namespaces/default/pods/p/exec"
ALL = "?stdin=true&stdout=1&stderr=true&command=cat&command=-"
FAILURE = {
    "metadata": {},
    "status": "Failure",
    "message": "command terminated with non-zero exit code: command terminated with exit code 3",
    "reason": "NonZeroExitCode",
    "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
}


async def whole(socket: Any) -> dict[int, bytes]:
    """What came on each channel until the server closed."""
    found: dict[int, bytes] = {}
    async for message in socket:
        data = message.data if isinstance(message.data, bytes) else message.data.encode()
        found[data[0]] = found.get(data[0], b"") + data[1:]
    return found


async def test_streams_and_exit_code_in_the_fifth_version(world: World) -> None:
    await world.pod()
    async with world.session.ws_connect(EXEC + ALL, protocols=("v5.channel.k8s.io",)) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.send_bytes(b"\0hello")
        await socket.send_bytes(b"\xff\0")
        found = await whole(socket)
    assert (found[1], found[2]) == (b"hello", b"5\n")
    assert json.loads(found[3]) == FAILURE
    assert world.node.programs[0].command == ["cat", "-"]
    assert world.node.programs[0].closed.is_set()


async def test_a_client_that_hangs_up_ends_its_program(world: World) -> None:
    await world.pod()
    async with world.session.ws_connect(EXEC + ALL, protocols=("v4.channel.k8s.io",)) as socket:
        await socket.send_str("\0hello")
        assert (await socket.receive()).data == b"\1"
        assert (await socket.receive()).data in (b"\1hello", b"\0025\n")
    await world.node.programs[0].closed.wait()


async def test_a_terminal_has_no_stderr_and_is_resized(world: World) -> None:
    await world.pod()
    async with world.session.ws_connect(EXEC + ALL + "&tty=true", protocols=("v5.channel.k8s.io",)) as socket:
        await socket.send_bytes(b'\4{"Width":80,"Hei')
        await socket.send_bytes(b'\4ght":24}\n')
        await socket.send_bytes(b"\4nonsense\n")
        await socket.send_bytes(b"\0x")
        await socket.send_bytes(b"\xff\0")
        found = await whole(socket)
    assert 2 not in found
    assert world.node.programs[0].sizes == [(80, 24)]
    assert json.loads(found[3])["details"]["causes"][0]["message"] == "4"


async def test_base64_and_the_oldest_version(world: World) -> None:
    await world.pod()
    path = EXEC + "?stdout=true&command=say"
    async with world.session.ws_connect(path, protocols=("v4.base64.channel.k8s.io",)) as socket:
        found = await whole(socket)
    assert base64.b64decode(found[ord("1")]) == b"say"
    assert json.loads(base64.b64decode(found[ord("3")])) == FAILURE
    async with world.session.ws_connect(path) as socket:
        assert (await whole(socket))[3] == FAILURE["message"].encode()  # type: ignore[attr-defined]


async def test_a_program_that_does_not_start(world: World) -> None:
    await world.pod()
    async with world.session.ws_connect(EXEC + "?stdout=true&command=missing", protocols=("v5.channel.k8s.io",)) as socket:
        status = json.loads((await whole(socket))[3])
    assert status["message"] == "Internal error occurred: error executing command in container: no such file"


async def test_a_container_that_does_not_run(world: World) -> None:
    await world.pod()
    path = EXEC + "?stdout=true&command=refused"
    async with world.session.ws_connect(path, protocols=("v5.channel.k8s.io",)) as socket:
        status = json.loads((await whole(socket))[3])
    assert status["message"] == 'Internal error occurred: unable to upgrade connection: container not found ("c")'
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await world.session.ws_connect(path, protocols=("v4.channel.k8s.io",))
    assert refused.value.status == 500
    async with worlds.upgraded(world, path, **{"X-Stream-Protocol-Version": "v4.channel.k8s.io"}) as (head, _):
        assert head.startswith("HTTP/1.1 500")


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (EXEC + "?stdout=true&command=x", 400, "Upgrade request required"),
        (EXEC + "?container=z&stdout=true", 400, "container z is not valid for pod p"),
        ("/api/v1/namespaces/default/pods/q/exec", 404, 'pods "q" not found'),
    ],
)
async def test_refusals(world: World, path: str, code: int, words: str) -> None:
    await world.pod()
    status, body = await world.get(path)
    assert (status, body["message"]) == (code, words)


async def test_refusals_of_upgrades(world: World) -> None:
    await world.pod()
    for path, protocol, code in (("?command=x", "v5.channel.k8s.io", 400), ("?stdout=true&command=x", "v9.channel.k8s.io", 403)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await world.session.ws_connect(EXEC + path, protocols=(protocol,))
        assert refused.value.status == code
    headers = {"X-Stream-Protocol-Version": "v9.channel.k8s.io"}
    async with worlds.upgraded(world, EXEC + "?stdout=true&command=x", **headers) as (head, _):
        assert head.startswith("HTTP/1.1 403")


async def test_attach_over_spdy(world: World) -> None:
    await world.pod()
    path = "/api/v1/namespaces/default/pods/p/attach?stdin=true&stdout=true&stderr=true"
    headers = {"X-Stream-Protocol-Version": "v4.channel.k8s.io, v3.channel.k8s.io"}
    async with worlds.upgraded(world, path, **headers) as (head, client):
        assert "101 Switching Protocols" in head
        assert "X-Stream-Protocol-Version: v4.channel.k8s.io" in head
        error, stdin, stdout, stderr = [await client.open(streamtype=name) for name in ("error", "stdin", "stdout", "stderr")]
        assert await client.open(streamtype="stdout") == stderr + 2  # a second one is refused
        await client.write(stdin, b"a" * 70_000)
        await client.write(stdin, b"b", end=True)
        await client.until(lambda: {error, stdout, stderr} <= client.ended)
        assert client.refused == {stderr + 2}
        assert client.data[stdout] == b"a" * 70_000 + b"b"
        assert json.loads(client.data[error]) == FAILURE
    assert world.node.programs[0].command == ["attached"]


async def test_a_spdy_client_that_hangs_up_ends_its_program(world: World) -> None:
    await world.pod()
    async with worlds.upgraded(world, EXEC + ALL, **{"X-Stream-Protocol-Version": "v4.channel.k8s.io"}) as (_, client):
        for name in ("error", "stdin", "stdout", "stderr"):
            await client.open(streamtype=name)
        await client.control(6, b"\0\0\0\7")
        await client.until(lambda: client.pongs == [7] and len(client.replied) == 4)
    await world.node.programs[0].closed.wait()


async def test_streams_that_are_never_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_command, "STREAM_CREATION_SECONDS", 0.05)
    await world.pod()
    async with worlds.upgraded(world, EXEC + ALL, **{"X-Stream-Protocol-Version": "v4.channel.k8s.io"}) as (_, client):
        while await client.frame():
            pass
    await world.node.programs[0].closed.wait()


async def test_sessions_end_with_the_server(world: World) -> None:
    await world.pod()
    async with world.session.ws_connect(EXEC + ALL, protocols=("v5.channel.k8s.io",)) as socket:
        await socket.send_bytes(b"\0x")
        await socket.receive()
        world.http._connecting.end_all()
        await world.node.programs[0].closed.wait()
