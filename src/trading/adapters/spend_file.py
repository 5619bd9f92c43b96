"""What the sidecar has spent today, in a small file of the desk's directory: written before anything is spent."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

from trading.sidecar.budget import Spent

NAME: Final = "sidecar.json"


class SpendFile:
    """``sidecar.budget.SpendStore`` over one file, replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    def load(self) -> Spent:
        """Return what was kept. Raises: OSError also for a file that cannot be understood: it may hide a day that is
        spent, so nothing is asked until a person has removed it."""
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            found = Spent(*(document[name] for name in asdict(Spent())))
            if any(type(each) is not int or each < 0 for each in asdict(found).values()):
                msg = "a figure is none"
                raise ValueError(msg)
        except FileNotFoundError:
            return Spent()
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{self._path} cannot be understood; remove it to begin the day's budget anew"
            raise OSError(msg) from error
        return found

    def save(self, spent: Spent) -> None:
        draft = self._path.with_name(f"{NAME}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(spent), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
