"""Secrets in files: one line each."""

from pathlib import Path


def secret_of(path: Path) -> str:
    """Return the first line of a file that holds a secret. Raises: ValueError without what is in it."""
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            found = file.readline(4_096).strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {type(error).__name__}"
        raise ValueError(msg) from error
    if not found:
        msg = f"{path} has an empty first line"
        raise ValueError(msg)
    return found
