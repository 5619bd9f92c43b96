"""Which generations of the index there are, and which of them is searched.

The pointer says it, and is replaced as a whole. Embedded it is ``generations.json`` beside the shards: the first
generation is ``index/shard``, as it was before there were others, each later one ``index/gen-N/shard``. On a server it
is the metadata of an empty collection of its own, where every daemon of a cluster sees it: the first generation is the
configured collection, each later one that name with ``-gen-N``.
"""

import json
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .edge_store import EdgeStore
from .identity_file import write_document
from .shard_copy import COPIED, DRAFT, OLD, PLACE
from .store import PointStore, StoreDamaged, StoreUnavailable

if TYPE_CHECKING:
    from .client_store import Connection

FORMAT = 1
POINTER_FILE = "generations.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pointer:
    """``next``: the generation that is being filled, None when there is none. ``last``: the highest number ever given;
    no number is given twice, so that what a crash left behind is told from what is wanted.
    """

    active: int = 1
    next: int | None = None
    last: int = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        return (self.active,) if self.next is None else (self.active, self.next)


class Catalogue(Protocol):
    """Provides the pointer and the stores it names. Raises everywhere: StoreUnavailable; ``read`` also StoreDamaged."""

    @property
    def is_shared(self) -> bool:
        """Whether other daemons may move the pointer."""

    def read(self) -> Pointer: ...

    def write(self, pointer: Pointer) -> None:
        """Replace the pointer durably."""

    def store(self, number: int) -> PointStore:
        """Return the store of a generation, not yet opened."""

    def remove_others(self, pointer: Pointer) -> None:
        """Remove every generation that the pointer does not name. They must not be open."""

    def close(self) -> None: ...


class EdgeCatalogue:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pointer_path = directory / POINTER_FILE

    @property
    def is_shared(self) -> bool:
        return False

    def read(self) -> Pointer:
        try:
            return pointer_of(json.loads(self._pointer_path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Pointer()
        except (ValueError, StoreDamaged) as problem:
            # The one that is searched is older than the one that is being filled; what it lacks is found and repaired.
            numbers = sorted(self._numbers()) or [1]
            _log.warning("%s cannot be read (%s): generation %d is searched", POINTER_FILE, problem, numbers[0])
            return Pointer(active=numbers[0], last=numbers[-1])
        except OSError as problem:
            raise StoreUnavailable(str(problem)) from problem

    def write(self, pointer: Pointer) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            write_document(self._pointer_path, document_of_pointer(pointer))
        except OSError as problem:
            raise StoreUnavailable(str(problem)) from problem

    def store(self, number: int) -> PointStore:
        return EdgeStore(self._directory_of(number))

    def remove_others(self, pointer: Pointer) -> None:
        try:
            for number in self._numbers() - set(pointer.numbers):
                self._remove(number)
        except OSError as problem:
            raise StoreUnavailable(str(problem)) from problem

    def close(self) -> None:
        """Nothing is held open."""

    def _directory_of(self, number: int) -> Path:
        return self._directory if number == 1 else self._directory / f"gen-{number}"

    def _numbers(self) -> set[int]:
        found = {1} if (self._directory / "shard").exists() else set()
        found |= {number for path in self._directory.glob("gen-*") if (number := _number(path.name, "gen-"))}
        return found

    def _remove(self, number: int) -> None:
        directory = self._directory_of(number)
        if number != 1:
            shutil.rmtree(directory)
            return
        (directory / "identity.json").unlink(missing_ok=True)
        for name in (PLACE, DRAFT, COPIED, OLD):
            if (directory / name).exists():
                shutil.rmtree(directory / name)


class ClientCatalogue:
    """``name`` is the configured collection; nothing that memMCP did not make is ever removed."""

    def __init__(self, connection: "Connection", name: str) -> None:
        self._connection = connection
        self._name = name
        self._pointer_name = f"{name}-generations"

    @property
    def is_shared(self) -> bool:
        return not self._connection.is_in_memory

    def read(self) -> Pointer:
        with self._connection.client(connect=True) as client:
            if not client.collection_exists(self._pointer_name):
                return Pointer()
            metadata = client.get_collection(self._pointer_name).config.metadata or {}
        return pointer_of(metadata.get("memmcp"))

    def write(self, pointer: Pointer) -> None:
        metadata = {"memmcp": document_of_pointer(pointer)}
        with self._connection.client(connect=True) as client:
            if client.collection_exists(self._pointer_name):
                client.update_collection(self._pointer_name, metadata=metadata)
            else:
                spread = self._connection.settings.spread()
                client.create_collection(self._pointer_name, vectors_config={}, **spread, metadata=metadata)

    def store(self, number: int) -> PointStore:
        from .client_store import ClientStore

        return ClientStore(self._connection, self._name_of(number))

    def remove_others(self, pointer: Pointer) -> None:
        keep = {self._name_of(number) for number in pointer.numbers}
        with self._connection.client() as client:
            for name in self._named([collection.name for collection in client.get_collections().collections]):
                if name not in keep and "memmcp" in (client.get_collection(name).config.metadata or {}):
                    client.delete_collection(name)

    def close(self) -> None:
        self._connection.close()

    def _name_of(self, number: int) -> str:
        return self._name if number == 1 else f"{self._name}-gen-{number}"

    def _named(self, collections: Sequence[str]) -> list[str]:
        return [each for each in collections if each == self._name or _number(each, f"{self._name}-gen-")]


def document_of_pointer(pointer: Pointer) -> dict[str, object]:
    return {"format": FORMAT, **asdict(pointer)}


def pointer_of(document: object) -> Pointer:
    """Raises: StoreDamaged."""
    if isinstance(document, dict) and document.get("format") == FORMAT:
        active, following, last = document.get("active"), document.get("next"), document.get("last")
        if isinstance(active, int) and isinstance(last, int) and (following is None or isinstance(following, int)):
            return Pointer(active, following, last)
    message = "the index does not say which of its generations is searched"
    raise StoreDamaged(message)


def _number(name: str, prefix: str) -> int | None:
    """Return the number of a generation's folder or collection, None for any other name."""
    rest = name.removeprefix(prefix)
    return int(rest) if name.startswith(prefix) and re.fullmatch(r"[1-9][0-9]{0,8}", rest) else None
