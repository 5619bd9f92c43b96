"""The server that tests put pages and doors on: whatever a client leaves open is closed before its loop ends."""

import asyncio
import gc
import socket
import threading
import time
import warnings
from collections.abc import Sized

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from tests.support.loopback_server import LoopbackServer

PATIENCE_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin to answer, and never end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await asyncio.get_running_loop().create_future()


def has_one(connections: Sized) -> bool:
    deadline_s = time.monotonic() + PATIENCE_S
    while not connections and time.monotonic() < deadline_s:
        time.sleep(0.005)
    return len(connections) == 1


@pytest.mark.parametrize("sent", [b"", b"GET / HT", REQUEST], ids=["spare", "half a request", "an endless answer"])
def test_a_connection_that_its_client_keeps_open_does_not_outlive_the_loop(sent: bytes) -> None:
    config = uvicorn.Config(endless, log_config=None, lifespan="off", timeout_graceful_shutdown=0)
    server = LoopbackServer(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE_S) as client:
            client.sendall(sent)
            assert has_one(server.server_state.connections)
            while sent == REQUEST and not client.recv(4_096).endswith(b"begun\r\n"):
                pass
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
            assert client.recv(1) == b""
    assert not server.server_state.connections
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        del server, thread
        gc.collect()
    assert [str(each.message) for each in unclosed] == []
