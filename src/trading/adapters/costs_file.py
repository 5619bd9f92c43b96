"""What running the desk has taken, a row a day (UTC), in a small file of the desk's own directory."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from trading.adapters.call_meter import Counts

NAME: Final = "costs.json"
FORMAT: Final = 1
FILE_BYTES_MAX: Final = 16_000_000

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class DayRow:
    """``day``: days since 1970. ``model``: calls, tokens and micro-USD of the sidecar."""

    day: int
    endpoints: dict[str, Counts] = field(default_factory=dict)
    model_calls: int = 0
    model_tokens: int = 0
    model_micro_usd: int = 0


@dataclass(slots=True)
class CostsHeld:
    """``rows`` by day, the oldest first; ``before``: what older ones came to, and how many days those were.
    ``runs``: the first day of each run that was traded, the newest last."""

    rows: dict[int, DayRow] = field(default_factory=dict)
    before: DayRow = field(default_factory=lambda: DayRow(0))
    days_before: int = 0
    runs: dict[str, int] = field(default_factory=dict)


class CostsFile:
    """Replaced as a whole. One that cannot be understood is set aside: figures are lost, and trading goes on."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    def load(self) -> CostsHeld:
        """Return what was kept. Raises: OSError."""
        try:
            if self._path.stat().st_size > FILE_BYTES_MAX:
                raise ValueError("it is too large")
            return _held(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return CostsHeld()
        except (ValueError, KeyError, TypeError) as error:
            aside = self._path.with_name(f"{NAME}.damaged")
            self._path.replace(aside)
            logger.warning(
                "the costs so far cannot be understood (%s): they are in %s, counting begins anew", error, aside
            )
            return CostsHeld()

    def save(self, held: CostsHeld) -> None:
        """Keep it, durably. Raises: OSError."""
        document = {
            "format": FORMAT,
            "rows": [asdict(row) for row in held.rows.values()],
            "before": asdict(held.before),
            "days_before": held.days_before,
            "runs": held.runs,
        }
        draft = self._path.with_name(f"{NAME}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


def _held(document: dict[str, Any]) -> CostsHeld:
    if document["format"] != FORMAT:
        raise ValueError("another version wrote it")
    rows = sorted((_row(each) for each in document["rows"]), key=lambda row: row.day)
    runs = {str(name): _whole(day) for name, day in document["runs"].items()}
    return CostsHeld({row.day: row for row in rows}, _row(document["before"]), _whole(document["days_before"]), runs)


def _row(held: dict[str, Any]) -> DayRow:
    endpoints = {
        str(name): Counts(*(_whole(counts[each.name]) for each in fields(Counts)))
        for name, counts in held["endpoints"].items()
    }
    figures = (_whole(held[name]) for name in ("model_calls", "model_tokens", "model_micro_usd"))
    return DayRow(_whole(held["day"]), endpoints, *figures)


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        msg = f"{value!r} is no figure"
        raise ValueError(msg)
    return value
