"""Servers with one tool that does nothing, for ``benchmarks.bridge``: over the SDK's stdio, and behind a bridge.

python -m benchmarks.noop stdio
python -m benchmarks.noop daemon --data-dir DIR
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import anyio
from mcp.server import MCPServer

from memmcp_server.config import HttpSection
from memmcp_server.daemon.connections import BridgeDoor
from memmcp_server.daemon.doors import open_doors
from memmcp_server.daemon.lease import Lease, Record
from memmcp_server.daemon.places import Places


class Anybody:
    def connected(self, _name: str, _transport: str) -> AbstractContextManager[None]:
        return nullcontext()


def build() -> MCPServer[None]:
    server: MCPServer[None] = MCPServer("noop", version="1", log_level="ERROR")

    @server.tool()
    async def noop(x: int = 0) -> int:
        """Return the number."""
        return x

    return server


def serve(data_dir: Path) -> None:
    """Answer bridges as the daemon does: the same door, with nothing behind it."""
    lease = Lease.take(Places(data_dir))
    with open_doors(lease, HttpSection(port=0), any_port=True) as doors:
        lease.publish(Record(doors.http_url, doors.bridges_address, lease.token, datetime.now(UTC)))
        anyio.run(BridgeDoor(build(), Anybody(), doors.secret).serve, doors.bridges)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        anyio.run(build().run_stdio_async)
    else:
        serve(Path(sys.argv[3]))
