"""The identity of an embedded index, beside its shard: ``identity.json``, replaced atomically."""

import json
import os
from pathlib import Path

from .store import Identity, StoreDamaged


def read_identity(path: Path) -> Identity | None:
    """Return None when there is no file. Raises: StoreDamaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        message = f"{path.name} cannot be read: {problem}"
        raise StoreDamaged(message) from problem
    return identity_of(document)


def write_identity(path: Path, identity: Identity) -> None:
    write_document(path, document_of(identity))


def write_document(path: Path, document: dict[str, object]) -> None:
    """Replace the file as a whole, durably: after a crash it holds the old document or the new one."""
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    if os.name == "posix":  # elsewhere a directory cannot be opened
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def document_of(identity: Identity) -> dict[str, object]:
    return {
        "format": 1,
        "model": identity.model,
        "dimension": identity.dimension,
        "probe": [round(value, 6) for value in identity.probe],
        "recipe": identity.recipe,
        "path": identity.path,
        "token": identity.token,
    }


def identity_of(document: object) -> Identity:
    """Raises: StoreDamaged."""
    if isinstance(document, dict) and document.get("format") == 1:
        model, dimension, probe = document.get("model"), document.get("dimension"), document.get("probe")
        if isinstance(model, str) and (dimension is None or isinstance(dimension, int)) and isinstance(probe, list):
            # What the first version wrote says nothing of these.
            recipe, path, token = document.get("recipe", 1), document.get("path", ""), document.get("token", "")
            if isinstance(recipe, int) and isinstance(path, str) and isinstance(token, str):
                return Identity(model, dimension, tuple(float(value) for value in probe), recipe, path, token)
    message = "the index does not say which model its vectors came from"
    raise StoreDamaged(message)
