"""Listening sockets and what stands behind them: the bridges' protocol from the daemon's side."""

import json
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext

import anyio
import pytest
from mcp.server import MCPServer
from tests.support.agents import data_directory

from memmcp_server.config import HttpSection
from memmcp_server.daemon.connections import BridgeDoor
from memmcp_server.daemon.doors import BridgeFamily, Doors, open_doors
from memmcp_server.daemon.finding import PROTOCOL, CannotReach, Finder
from memmcp_server.daemon.lease import Lease, Record
from memmcp_server.daemon.places import Places
from memmcp_server.errors import InvalidInput, Unavailable

pytestmark = pytest.mark.anyio

ANY_PORT = HttpSection(port=0)


class Anybody:
    def connected(self, _name: str, _transport: str) -> nullcontext[None]:
        return nullcontext()


class Nobody:
    def connected(self, _name: str, _transport: str) -> nullcontext[None]:
        msg = "too many clients"
        raise Unavailable(msg, hint="close one")


@pytest.fixture
def lease() -> Iterator[Lease]:
    with data_directory() as directory:
        one = Lease.take(Places(directory))
        yield one
        one.release()


@asynccontextmanager
async def served(lease: Lease, family: BridgeFamily = "unix", registry: object = None) -> AsyncIterator[Doors]:
    server: MCPServer[None] = MCPServer("test")
    with open_doors(lease, ANY_PORT, any_port=True, family=family) as doors:
        door = BridgeDoor(server, registry or Anybody(), doors.secret)  # type: ignore[arg-type]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(door.serve, doors.bridges)
            yield doors
            tasks.cancel_scope.cancel()


async def exchange(doors: Doors, *lines: bytes) -> bytes:
    """Say the lines and return what came back until the door closed, or the first answer."""
    if doors.bridges_address.startswith("tcp:"):
        host, port = doors.bridges_address[4:].rsplit(":", 1)
        stream = await anyio.connect_tcp(host, int(port))
    else:
        stream = await anyio.connect_unix(doors.bridges_address)
    async with stream:
        for line in lines:
            await stream.send(line)
        try:
            with anyio.fail_after(30):
                return await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return b""


def hello(**fields: object) -> bytes:
    return json.dumps({"memmcp": "bridge", "protocol": PROTOCOL, "version": "1", **fields}).encode() + b"\n"


async def test_the_socket_is_private_and_the_greeting_names_the_version(lease: Lease) -> None:
    async with served(lease) as doors:
        assert stat.S_IMODE(lease.places.socket.stat().st_mode) == 0o600
        answer = json.loads(await exchange(doors, hello()))
        assert (answer["memmcp"], answer["protocol"]) == ("daemon", PROTOCOL)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b'{"jsonrpc":"2.0","id":1,"method":"initialize"}\n',
        b"null\n",
        b"x" * 10_000,
        b"[" * 4_000 + b"\n",
    ],
)
async def test_whoever_is_no_bridge_hears_nothing(lease: Lease, line: bytes) -> None:
    async with served(lease) as doors:
        assert await exchange(doors, line) == b""


async def test_over_tcp_the_secret_comes_first(lease: Lease) -> None:
    async with served(lease, "tcp") as doors:
        assert await exchange(doors, hello()) == b""
        assert await exchange(doors, hello(secret="wrong")) == b""
        assert json.loads(await exchange(doors, hello(secret=lease.token)))["memmcp"] == "daemon"


async def test_a_finder_reaches_a_daemon_over_tcp_as_on_windows(lease: Lease) -> None:
    async with served(lease, "tcp") as doors:
        from datetime import UTC, datetime

        lease.publish(Record(doors.http_url, doors.bridges_address, lease.token, datetime.now(UTC)))
        line, answer = await anyio.to_thread.run_sync(Finder(lease.places, {}, "b").connect)
        line.sock.close()
        assert answer["memmcp"] == "daemon"


async def test_a_bridge_of_another_protocol_is_told_what_to_do(lease: Lease) -> None:
    async with served(lease) as doors:
        answer = json.loads(await exchange(doors, hello(protocol=99, version="7.0")))
        assert answer["memmcp"] == "refused"
        assert "7.0 (protocol 99)" in answer["reason"]
        assert "memmcp stop" in answer["reason"]


async def test_one_bridge_too_many_is_told_so(lease: Lease) -> None:
    async with served(lease, registry=Nobody()) as doors:
        from datetime import UTC, datetime

        lease.publish(Record(doors.http_url, doors.bridges_address, lease.token, datetime.now(UTC)))
        with pytest.raises(CannotReach, match="too many clients; close one"):
            await anyio.to_thread.run_sync(Finder(lease.places, {}, "b").connect)


async def test_a_taken_port_is_named_and_a_free_one_found_where_that_is_wanted(lease: Lease) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(InvalidInput, match=f"port {port}") as caught,
            open_doors(lease, HttpSection(port=port), any_port=False),
        ):
            pass
        assert caught.value.field == "http.port"
        with open_doors(lease, HttpSection(port=port), any_port=True) as doors:
            assert not doors.http_url.endswith(f":{port}")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "300.1.1.1", "203.0.113.1"])
async def test_an_address_that_is_not_ours_is_named(lease: Lease, host: str) -> None:
    section = HttpSection(host=host, port=0)
    with pytest.raises(InvalidInput, match=host) as caught, open_doors(lease, section, any_port=True):
        pass
    assert caught.value.field == "http.host"
