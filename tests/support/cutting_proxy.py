"""A way to a PostgreSQL server that loses the answer to a COMMIT: the server has done it, the client never hears."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SOCKET = ".s.PGSQL.5432"
CHUNK = 65_536


@dataclass
class CuttingProxy:
    """``cuts``: answers to commits that are still to be lost. ``is_closed``: nobody is let through now."""

    directory: Path
    server: Path
    cuts: int = 0
    is_closed: bool = False
    closes_after_cut: bool = False
    cut: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(str(self.directory))}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_closed:
            writer.close()
            return
        to_reader, to_writer = await asyncio.open_unix_connection(str(self.server / SOCKET))
        self._open |= {writer, to_writer}
        losing = asyncio.Event()
        try:
            ways = [self._ask(reader, to_writer, losing), self._answer(to_reader, writer, losing)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        finally:
            for each in (writer, to_writer):
                self._open.discard(each)
                each.close()

    def close(self) -> None:
        for writer in self._open:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        has_written = False  # a reader ends with a COMMIT too
        while data := await reader.read(CHUNK):
            has_written = has_written or b"INSERT INTO memories" in data
            if b"COMMIT" in data:
                if has_written and self.cuts > 0:
                    self.cuts -= 1
                    losing.set()
                has_written = False
            writer.write(data)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await reader.read(CHUNK):
            if losing.is_set():
                assert b"COMMIT" in data  # the server says that it has committed
                self.cut += 1
                self.is_closed = self.closes_after_cut
                return
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def cutting_proxy(directory: Path, server: Path) -> AsyncIterator[CuttingProxy]:
    """Serve on a socket in ``directory``, whose path must be short, for the server whose socket is in ``server``."""
    proxy = CuttingProxy(directory, server)
    listening = await asyncio.start_unix_server(proxy.serve, str(directory / SOCKET))
    try:
        yield proxy
    finally:
        listening.close()
        proxy.close()
