"""The daemon's listening sockets, bound before anything heavy is imported: who comes early waits, and does not fail."""

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memmcp_server.config import HttpSection
from memmcp_server.errors import DataDirectoryError, InvalidInput

from .lease import Lease

BACKLOG = 128
BridgeFamily = Literal["unix", "tcp"]
DEFAULT_FAMILY: BridgeFamily = "tcp" if sys.platform == "win32" else "unix"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Doors:
    """``bridges`` carries agents' lines; ``secret`` is what a bridge must say first, empty on a private socket."""

    bridges: socket.socket
    bridges_address: str
    secret: str
    http: socket.socket
    http_url: str


@contextlib.contextmanager
def open_doors(
    lease: Lease, section: HttpSection, *, any_port: bool, family: BridgeFamily = DEFAULT_FAMILY
) -> Iterator[Doors]:
    """Listen for bridges and for HTTP. ``any_port``: when the port is taken, take a free one.

    Raises: InvalidInput (host or port), DataDirectoryError (socket).
    """
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(contextlib.closing(_listen_http(section, any_port=any_port)))
        if family == "tcp":
            bridges = stack.enter_context(contextlib.closing(_listen_loopback()))
            address, secret = f"tcp:127.0.0.1:{bridges.getsockname()[1]}", lease.token
        else:
            path = lease.socket_path()
            bridges = stack.enter_context(contextlib.closing(_listen_unix(path)))
            address, secret = str(path), ""
        yield Doors(bridges, address, secret, http, _url(http))


def _listen_unix(path: Path) -> socket.socket:
    if sys.platform == "win32":
        msg = "unix sockets are not available here"
        raise DataDirectoryError(msg)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The mode is in force from the first instant: there is no moment at which another user could connect.
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        msg = f"cannot listen on {path}: {error.strerror or error}"
        hint = "the data directory must lie on a file system that can hold sockets"
        raise DataDirectoryError(msg, field="data_dir", hint=hint) from error
    return sock


def _listen_loopback() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen(BACKLOG)
    return sock


def _listen_http(section: HttpSection, *, any_port: bool) -> socket.socket:
    try:
        return _bind(section.host, section.port)
    except OSError as error:
        is_taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        if is_taken and any_port:
            with contextlib.suppress(OSError):
                return _bind(section.host, 0)
        msg = f"cannot listen on {section.host} port {section.port}: {error.strerror or error}"
        if is_taken:
            hint = "another program has that port: name a free one with --port or MEMMCP_HTTP__PORT (0: any)"
            raise InvalidInput(msg, field="http.port", hint=hint) from error
        raise InvalidInput(msg, field="http.host", hint="127.0.0.1 serves this machine only") from error


def _bind(host: str, port: int) -> socket.socket:
    # Not by name: "localhost" may be two addresses, and one socket is what daemon.json can say.
    address = "127.0.0.1" if host.lower() == "localhost" else host
    family = socket.AF_INET6 if _is_ipv6(address) else socket.AF_INET
    # Named: asyncio turns Nagle off only for a socket that says it is TCP, and every answer would wait 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            # Restart while old connections linger; on Windows the option would let two programs share the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except (OSError, UnicodeError):
        sock.close()
        raise
    return sock


def _is_ipv6(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).version == 6
    except ValueError:
        return False


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
