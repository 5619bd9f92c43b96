"""What the daemon tells a worker in its first frame. Not on the command line: an API key would show in ``ps``."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from memmcp_server.config import EmbeddingSection, QdrantSection
from memmcp_server.domain.identifiers import Json, JsonObject

from .documents import BadField, text

OPEN = "open"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """``data_dir`` holds ``index/``, ``index.lock`` and ``models/``."""

    data_dir: Path
    qdrant: QdrantSection
    embedding: EmbeddingSection

    @property
    def index_dir(self) -> Path:
        return self.data_dir / "index"

    @property
    def lock_path(self) -> Path:
        return self.data_dir / "index.lock"

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    def document(self) -> JsonObject:
        qdrant: dict[str, Json] = self.qdrant.model_dump(mode="json")
        if self.qdrant.api_key is not None:
            qdrant["api_key"] = self.qdrant.api_key.get_secret_value()
        embedding: dict[str, Json] = self.embedding.model_dump(mode="json")
        return {"op": OPEN, "data_dir": str(self.data_dir), "qdrant": qdrant, "embedding": embedding}


def parse_options(document: JsonObject) -> WorkerOptions:
    """Raises: BadField."""
    if document.get("op") != OPEN:
        message = f"the first frame must be {OPEN!r}"
        raise BadField(message)
    try:
        return WorkerOptions(
            data_dir=Path(text(document, "data_dir")),
            qdrant=QdrantSection.model_validate(document.get("qdrant")),
            embedding=EmbeddingSection.model_validate(document.get("embedding")),
        )
    except ValidationError as problem:
        raise BadField(str(problem)) from problem
