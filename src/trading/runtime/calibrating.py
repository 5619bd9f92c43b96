"""A desk's newest run, read back for the figures of the chain that it shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trading.adapters.canonical import parse_json
from trading.engine.inputs import INPUT, decode_input
from trading.execution.calibration import Calibration, calibrate, observe
from trading.execution.conditions import Conditions
from trading.model.event_codec import decode
from trading.ports import Journal

from .recorded_runs import recorded_run

ORDER_KINDS: Final = ("order_approved", "order_filled", "order_rejected")
_BY_VALUE: Final = "ohlcv"


@dataclass(frozen=True, slots=True)
class CalibratedRun:
    run_id: str
    calibration: Calibration

    def document(self) -> dict[str, Any]:
        return {"run_id": self.run_id, **self.calibration.document()}


def calibrate_run(run_dir: Path, base: Conditions, name: str) -> CalibratedRun:
    """Estimate the figures from the newest run of a directory. Raises: InvalidInput, JournalUnavailable."""
    with recorded_run(str(run_dir)) as run:
        return CalibratedRun(run.run_id, calibrate(observe(evidence(run.journal), base), name))


def evidence(journal: Journal) -> Iterator[object]:
    """Yield orders, their outcomes, and the bars that are kept by value, in the journal's order."""
    for row in journal.rows(kinds=(*ORDER_KINDS, INPUT)):
        body = parse_json(row.body)
        if row.kind != INPUT:
            yield decode(row.kind, body)
        elif _BY_VALUE in body:
            yield decode_input(row.kind, row.ts_ns, body)
