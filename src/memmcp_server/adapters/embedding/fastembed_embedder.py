"""Embedder on fastembed (ONNX). Imports it only when a model is loaded: the import takes a second."""

import importlib.util
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from memmcp_server.adapters.garbage import uncollected

from .model_files import (
    DEFAULT_DIMENSION,
    EmbeddingChoice,
    ModelFiles,
    ModelUnavailable,
    WantedModel,
    candidates,
    dimension_of_directory,
    is_default,
)
from .tokenizer_files import DamagedFile

BATCH_LEN_MAX = 16
"""Texts per model run. Small, so that a query's run gets its turn between two of them."""
UNKNOWN_NAME = "fastembed knows no model of this name; give its files with embedding.path"


class FastembedEmbedder:
    """Provides unit vectors from one loaded model. Safe to call from two threads."""

    def __init__(self, model: Any, name: str, origin: str) -> None:
        self._model = model
        self._name = name
        self.origin = origin
        self._dimension = len(self._run(["dimension"])[0])

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit vector a text, in the order given.

        Runs in batches sorted by length: a batch is padded to its longest text, so mixing lengths wastes a third.
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(order), BATCH_LEN_MAX):
            chunk = order[start : start + BATCH_LEN_MAX]
            for index, vector in zip(chunk, self._run([texts[index] for index in chunk]), strict=True):
                vectors[index] = vector
        return vectors

    def _run(self, texts: list[str]) -> list[list[float]]:
        rows: Iterable[Any] = self._model.embed(texts, batch_size=BATCH_LEN_MAX)
        return [_unit([float(value) for value in row]) for row in rows]


def declared_dimension(section: EmbeddingChoice) -> int | None:
    """Return the model's dimension before it is loaded, None when nobody declares it."""
    if section.path is not None:
        told = dimension_of_directory(section.path)
        if told is not None:
            return told
    if is_default(section.model):
        return DEFAULT_DIMENSION
    if not _may_be_listed(section.model):
        return None
    for description in _text_embedding().list_supported_models():
        if description["model"].lower() == section.model.lower():
            return int(description["dim"])
    return None


def load_embedder(section: EmbeddingChoice, models_dir: Path) -> FastembedEmbedder:
    """Load the first model that is at hand. May take minutes where a download is allowed.

    Raises: ModelUnavailable.
    """
    try:
        plan = candidates(section, models_dir)
    except (OSError, DamagedFile) as problem:
        raise ModelUnavailable(str(problem)) from problem
    problems: list[str] = []
    for files in plan:
        try:
            with _Translating():
                return FastembedEmbedder(_open(files, section.threads), section.model, files.origin)
        except ModelUnavailable as problem:
            problems.append(f"{files.origin}: {problem}")
    hint = "" if section.allow_download else "; embedding.allow_download is off"
    message = f"embedding model {section.model!r} is not available ({'; '.join(problems)}){hint}"
    raise ModelUnavailable(message)


def load_old(configured: EmbeddingChoice, model: str, path: str, models_dir: Path) -> FastembedEmbedder:
    """Load the model that an index was made with, if it is at hand; never downloads.

    Raises: ModelUnavailable.
    """
    present = "" if configured.path is None else str(configured.path.absolute())
    if (model.lower(), path) == (configured.model.lower(), present):
        message = "its files have become another model's"
        raise ModelUnavailable(message)
    wanted = WantedModel(
        model=model,
        path=Path(path) if path else None,
        cache_dir=configured.cache_dir,
        threads=configured.threads,
        allow_download=False,
    )
    return load_embedder(wanted, models_dir)


def _text_embedding() -> Any:
    """Return fastembed's class, imported by now, and quiet: it reports each failed attempt, we report the outcome."""
    with uncollected():
        from fastembed import TextEmbedding
        from loguru import logger

    logger.disable("fastembed")
    return TextEmbedding


def _may_be_listed(model: str) -> bool:
    """Return False where fastembed surely has no model of this name, without loading it: no file of it has the name."""
    spec = importlib.util.find_spec("fastembed")
    files = [] if spec is None or spec.origin is None else [*Path(spec.origin).parent.glob("text/*.py")]
    return not files or any(model.lower() in file.read_text(encoding="utf-8").lower() for file in files)


def _open(files: ModelFiles, threads: int) -> Any:
    if files.directory is None and not _may_be_listed(files.name):
        raise ModelUnavailable(UNKNOWN_NAME)
    text_embedding = _text_embedding()
    supported = {description["model"].lower() for description in text_embedding.list_supported_models()}
    if files.name.lower() not in supported:
        if files.directory is None:
            raise ModelUnavailable(UNKNOWN_NAME)
        _register(files)
    return text_embedding(
        files.name,
        cache_dir=str(files.cache_dir),
        threads=threads,
        specific_model_path=str(files.directory) if files.directory is not None else None,
        local_files_only=not files.download,
        # The arena keeps what the largest batch ever took: 300 MB that are never used again, and no speed for it.
        enable_cpu_mem_arena=False,
    )


def _register(files: ModelFiles) -> None:
    """Tell fastembed about a model that only the user's directory has: mean-pooled, as sentence models are."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    dimension = dimension_of_directory(files.directory) if files.directory is not None else None
    if dimension is None:
        message = f"{files.directory}/config.json does not tell hidden_size"
        raise ModelUnavailable(message)
    TextEmbedding.add_custom_model(
        model=files.name,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(url="file:///none"),  # never fetched: the files come from the directory
        dim=dimension,
        model_file="model.onnx",
    )


def _unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length > 0 else vector


class _Translating:
    """Turn what the model libraries raise into ModelUnavailable: the tokenizer raises bare Exception, onnxruntime its
    own classes, the download OSError and ValueError. Anything else is a mistake of ours and passes.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        if kind is None or problem is None or kind is ModelUnavailable:
            return
        vendors = kind.__module__.split(".")[0] in {"onnxruntime", "requests", "huggingface_hub", "httpx", "httpx2"}
        if kind is Exception or vendors or issubclass(kind, (OSError, ValueError, RuntimeError)):
            text = str(problem).strip() or kind.__name__
            raise ModelUnavailable(text.splitlines()[0][:300]) from problem
