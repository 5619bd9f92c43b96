"""What a worker is told, on both sides of the pipe."""

import subprocess
import sys
from pathlib import Path

import pytest

from memmcp_server.adapters.embedding.model_files import WantedModel
from memmcp_server.adapters.index.documents import BadField
from memmcp_server.adapters.index.frames import decode, encode
from memmcp_server.adapters.index.options import WorkerOptions, parse_options
from memmcp_server.config import EmbeddingSection, QdrantSection
from memmcp_server.domain.identifiers import JsonObject

HERE = Path("/here")


def _crossed(qdrant: QdrantSection, embedding: EmbeddingSection) -> JsonObject:
    return decode(encode(WorkerOptions(HERE, qdrant, embedding).document())[4:])


def test_the_worker_is_told_what_the_sections_say() -> None:
    embedding = EmbeddingSection(
        model="me/mine", path=Path("/model"), cache_dir=Path("/cache"), threads=3, allow_download=False
    )
    told = parse_options(_crossed(QdrantSection(), embedding))
    assert told.embedding == WantedModel(**embedding.model_dump())
    assert (told.data_dir, told.server) == (HERE, None)
    assert parse_options(_crossed(QdrantSection(), EmbeddingSection())).embedding.allow_download is True


def test_a_server_is_told_with_its_key() -> None:
    server = QdrantSection(url="http://there:6333", api_key="planted", shards=2, on_disk=("vectors",))
    assert parse_options(_crossed(server, EmbeddingSection())).server == server


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("embedding", "threads", "many"),
        ("embedding", "allow_download", None),
        ("embedding", "model", 1),
        ("embedding", "path", 1),
        ("qdrant", "url", 1),
    ],
)
def test_what_has_another_type_is_refused(part: str, name: str, value: object) -> None:
    document = _crossed(QdrantSection(), EmbeddingSection())
    inner = document[part]
    assert isinstance(inner, dict)
    with pytest.raises(BadField, match=name):
        parse_options({**document, part: {**inner, name: value}})


def test_a_section_that_is_none_and_a_server_that_cannot_be_are_refused() -> None:
    document = _crossed(QdrantSection(), EmbeddingSection())
    with pytest.raises(BadField, match="qdrant"):
        parse_options({**document, "qdrant": None})
    with pytest.raises(BadField, match="shards"):
        parse_options({**document, "qdrant": {"url": "http://there:6333", "shards": 0}})


@pytest.mark.requirement("Q6")
def test_a_worker_loads_no_library_of_sections_models_or_numbers_before_it_needs_one() -> None:
    code = "import sys, memmcp_server.adapters.index.worker; print([n for n in sys.argv[1:] if n in sys.modules])"
    heavy = ("pydantic", "numpy", "fastembed", "onnxruntime", "qdrant_client", "sqlalchemy", "asyncio", "loguru")
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
