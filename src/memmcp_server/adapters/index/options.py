"""What the daemon tells a worker in its first frame. Not on the command line: an API key would show in ``ps``.

The worker reads it without the sections' library: what the daemon has checked already is not worth 0.2 s of each start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memmcp_server.adapters.embedding.model_files import WantedModel
from memmcp_server.domain.identifiers import Json, JsonObject

from .documents import BadField, integer, optional_text, text

if TYPE_CHECKING:
    from memmcp_server.config import EmbeddingSection, QdrantSection

OPEN = "open"


@dataclass(frozen=True, slots=True)
class InDataDir:
    """``data_dir`` holds ``index/``, ``index.lock`` and ``models/``."""

    data_dir: Path

    @property
    def index_dir(self) -> Path:
        return self.data_dir / "index"

    @property
    def lock_path(self) -> Path:
        return self.data_dir / "index.lock"

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"


@dataclass(frozen=True, slots=True)
class WorkerOptions(InDataDir):
    """What the daemon wants of its worker."""

    qdrant: "QdrantSection"
    embedding: "EmbeddingSection"

    def document(self) -> JsonObject:
        qdrant: dict[str, Json] = self.qdrant.model_dump(mode="json")
        if self.qdrant.api_key is not None:
            qdrant["api_key"] = self.qdrant.api_key.get_secret_value()
        embedding: dict[str, Json] = self.embedding.model_dump(mode="json")
        return {"op": OPEN, "data_dir": str(self.data_dir), "qdrant": qdrant, "embedding": embedding}


@dataclass(frozen=True, slots=True)
class Told(InDataDir):
    """What a worker was told. ``server`` None: the engine inside of the worker."""

    server: "QdrantSection | None"
    embedding: WantedModel


def parse_options(document: JsonObject) -> Told:
    """Raises: BadField."""
    if document.get("op") != OPEN:
        message = f"the first frame must be {OPEN!r}"
        raise BadField(message)
    return Told(
        data_dir=Path(text(document, "data_dir")),
        server=_server(_object(document, "qdrant")),
        embedding=_model(_object(document, "embedding")),
    )


def _server(document: JsonObject) -> "QdrantSection | None":
    if optional_text(document, "url") is None:
        return None
    from pydantic import ValidationError

    from memmcp_server.config import QdrantSection

    try:
        return QdrantSection.model_validate(document)
    except ValidationError as problem:
        raise BadField(str(problem)) from problem


def _model(document: JsonObject) -> WantedModel:
    allow_download = document.get("allow_download")
    if not isinstance(allow_download, bool):
        message = f"allow_download: expected true or false, got {allow_download!r}"
        raise BadField(message)
    path, cache_dir = optional_text(document, "path"), optional_text(document, "cache_dir")
    return WantedModel(
        model=text(document, "model"),
        path=None if path is None else Path(path),
        cache_dir=None if cache_dir is None else Path(cache_dir),
        threads=integer(document, "threads"),
        allow_download=allow_download,
    )


def _object(document: JsonObject, name: str) -> JsonObject:
    value = document.get(name)
    if not isinstance(value, dict):
        message = f"{name}: expected an object, got {value!r}"
        raise BadField(message)
    return value
