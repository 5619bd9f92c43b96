"""Loopback servers that channels deliver to: HTTP (json://, ntfy://) and SMTP (mailto://), with faults on demand."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["", "500", "429", "401", "hang"]


@dataclass
class Inbox:
    """What was taken, in order. ``fault`` is what every request gets while it is set."""

    fault: Fault = ""
    port: int = 0
    taken: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def take(self, message: dict[str, Any]) -> None:
        self.taken.append(message)
        self.arrived.set()

    @property
    def titles(self) -> list[str]:
        return [str(each["title"]) for each in self.taken]


@contextmanager
def http_inbox() -> Iterator[Inbox]:
    """Serve an inbox over HTTP; a JSON body with title and message, or ntfy's headers and text, is a message."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if inbox.fault == "hang":
                inbox.release.wait(10)
            if inbox.fault:
                inbox.refused += 1
                self._answer(503 if inbox.fault == "hang" else int(inbox.fault))
                return
            document = json.loads(body)
            inbox.take({"path": self.path, **document})
            self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), inbox):
        yield inbox


@contextmanager
def smtp_inbox() -> Iterator[Inbox]:
    """Serve an inbox that speaks as much SMTP as a mail client needs."""
    inbox = Inbox()

    class Handler(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            self._say("220 loopback")
            recipients: list[str] = []
            while line := self.rfile.readline(4_096).decode().strip():
                match line.upper().split()[0]:
                    case "EHLO" | "HELO":
                        self._say("250 loopback")
                    case "RCPT":
                        recipients.append(line)
                        self._say("250 ok" if not inbox.fault else f"{inbox.fault} not now")
                    case "DATA":
                        self._say("354 go on")
                        inbox.take({"to": recipients, "title": "", "message": self._mail()})
                        self._say("250 taken")
                    case "QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("250 ok")

        def _mail(self) -> str:
            lines = []
            while (line := self.rfile.readline(65_536)) not in (b".\r\n", b""):
                lines.append(line.decode())
            return "".join(lines)

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with _serving(Server(("127.0.0.1", 0), Handler), inbox):
        yield inbox


@contextmanager
def _serving(server: socketserver.TCPServer, inbox: Inbox) -> Iterator[None]:
    inbox.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="inbox", daemon=True)
    thread.start()
    try:
        yield
    finally:
        inbox.release.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
