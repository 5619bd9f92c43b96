"""A daemon that says what a test tells it to: the other end of a bridge, without services."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memmcp_server import __version__
from memmcp_server.daemon.finding import PROTOCOL, Line
from memmcp_server.daemon.places import Places

Reply = dict[str, Any] | None
Script = Callable[[dict[str, Any]], Reply]


def echo(message: dict[str, Any]) -> Reply:
    """Answer every request with its own method and parameters."""
    if "id" not in message or "method" not in message:
        return None
    return {"jsonrpc": "2.0", "id": message["id"], "result": {"method": message["method"], **message.get("params", {})}}


class FakeDaemon:
    """Listens on a data directory's socket; ``heard`` holds, per connection, what bridges said after the greeting."""

    def __init__(self, data_dir: Path, script: Script = echo, greeting: dict[str, Any] | None = None) -> None:
        self.heard: list[list[dict[str, Any]]] = []
        self.greetings: list[dict[str, Any]] = []
        self.connections: list[socket.socket] = []
        self._script = script
        self._greeting = greeting or {"memmcp": "daemon", "protocol": PROTOCOL, "version": __version__}
        self._places = Places(data_dir)
        self._listener = socket.socket(socket.AF_UNIX)
        self._places.socket.unlink(missing_ok=True)
        self._listener.bind(str(self._places.socket))
        self._listener.listen()
        record = {"pid": os.getpid(), "socket": str(self._places.socket), "token": "t", "http": "http://127.0.0.1:1"}
        self._places.record.write_text(json.dumps(record))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        lines = Line(connection)
        heard: list[dict[str, Any]] | None = None
        while True:
            try:
                line = lines.read()
            except OSError:
                return
            if line is None:
                return
            message = json.loads(line)
            if heard is None:
                self.greetings.append(message)
                self._say(connection, self._greeting)
                heard = []
                self.heard.append(heard)
                continue
            heard.append(message)
            reply = self._script(message)
            if reply is not None:
                self._say(connection, reply)

    def _say(self, connection: socket.socket, message: dict[str, Any]) -> None:
        try:
            connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return

    def say(self, message: dict[str, Any]) -> None:
        """Say something unasked on the newest connection."""
        self._say(self.connections[-1], message)

    def hang_up(self) -> None:
        """End every connection, as a death would, and go on listening."""
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)
        for connection in list(self.connections):
            connection.close()
        self._places.record.unlink(missing_ok=True)
        self._places.socket.unlink(missing_ok=True)
