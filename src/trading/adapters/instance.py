"""Whether the databases of a directory are its own: a mark that lies beside them and in no back-up.

The mark names the directory (by machine and inode), and the newest opening of ``execution.db``. A journal that was
restored, copied to another place or machine, or put back as it was before, does not fit it; what was signed since is on
the chain and in no journal then, so whoever opens it lets nothing be signed until a person has answered.
"""

import contextlib
import hashlib
import json
import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

INSTANCE_NAME: Final = "instance.json"
RESTORED_NAME: Final = "restored.json"
"""Left by who puts a back-up in place."""
_MACHINE_FILES: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True, slots=True)
class Instance:
    """``place`` is a hash of machine and directory, ``epoch`` counts the openings of the database."""

    id: str
    place: str
    epoch: int


def machine_id() -> str:
    """Return what tells this machine from others, "" where nothing does."""
    for path in _MACHINE_FILES:
        with contextlib.suppress(OSError):
            found = path.read_text(encoding="ascii", errors="replace").strip()
            if found:
                return found
    node = uuid.getnode()
    return "" if node >> 40 & 1 else f"{node:012x}"  # with that bit it was made up, and is another one next time


class InstanceFile:
    """The mark of one directory. Raises: OSError where it cannot be read or written."""

    def __init__(self, directory: Path, machine: Callable[[], str] = machine_id) -> None:
        self._directory = directory
        self._machine = machine

    def problem(self, bound: str, epoch: int, *, is_used: bool) -> str:
        """Return why a database does not belong here, "" where it does.

        ``bound`` is the instance that it was opened under last, "" for none; ``epoch`` its count of openings before
        this one; ``is_used``: something is written in it.
        """
        if (self._directory / RESTORED_NAME).exists():
            return f"it was restored from a back-up{self._made_at()}"
        known = self.read()
        if known is None:
            return "it was used somewhere else, or its mark was removed" if is_used or bound else ""
        if known.place != self._place():
            return "the directory was copied from another place or machine"
        if bound != known.id and (is_used or bound):
            return "it is of another directory"
        if epoch < known.epoch:
            return f"it is an older copy of itself: opened {epoch} times, and {known.epoch} are known"
        return ""

    def read(self) -> Instance | None:
        """Return the mark, None where there is none that can be read."""
        try:
            document = json.loads((self._directory / INSTANCE_NAME).read_text(encoding="utf-8"))
            return Instance(str(document["id"]), str(document["place"]), int(document["epoch"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def renewed(self, *, is_problem: bool) -> str:
        """Return the id that a database is to be bound to: the known one, or a new one after a problem."""
        known = self.read()
        return secrets.token_hex(16) if known is None or is_problem else known.id

    def write(self, instance_id: str, epoch: int) -> None:
        """Write the mark down, after the database has it, and take the restorer's away."""
        path = self._directory / INSTANCE_NAME
        draft = path.with_name(f"{INSTANCE_NAME}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(Instance(instance_id, self._place(), epoch)), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        (self._directory / RESTORED_NAME).unlink(missing_ok=True)

    def _place(self) -> str:
        # Not the device: its number may be another one after a restart.
        text = f"{self._machine()} {self._directory.stat().st_ino}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _made_at(self) -> str:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads((self._directory / RESTORED_NAME).read_text(encoding="utf-8"))
            return f" of {document['made_at']}"
        return ""
