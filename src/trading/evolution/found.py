"""What a search found, as a file that others read: ``found.json`` and ``returns.npy`` in its run directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trading.errors import DataError
from trading.strategies.parameters import Value

from .fitness import Floats, Objectives

FOUND_NAME: Final = "found.json"
RETURNS_NAME: Final = "returns.npy"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One set of parameters that was evaluated: its first trial's number, its figures, its round trips."""

    number: int
    parameters: Mapping[str, Value]
    objectives: Objectives
    trades: int


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate of the front that the full engine ran too.

    ``row`` is its place among the candidates. ``document`` and ``returns`` (daily, net, as shares) are the engine's on
    the days that the search saw, ``holdout_document`` and ``holdout_returns`` on those that no search saw (None and
    empty where none were kept back). ``test_sharpes``: its ratio a year on each test set of cross-validation, from the
    engine's returns. ``deflated_sharpe`` counts every trial that the ledger knows of its family.
    """

    row: int
    parameters: Mapping[str, Value]
    objectives: Objectives
    document: Mapping[str, Any]
    returns: tuple[float, ...]
    test_sharpes: tuple[float, ...]
    deflated_sharpe: float | None
    holdout_document: Mapping[str, Any] | None
    holdout_returns: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """``inputs`` are names and hashes of the data. The search saw ``days`` days from ``from_ns`` on; ``holdout_days``
    after them no search saw. ``trials`` is how many candidates it evaluated, ``family_trials`` how many trials of its
    family the ledger knows, ``sharpe_variance`` how much their ratios per day vary (None: too few).

    ``path_sharpes`` are the ratios a year of the paths of cross-validation along which each split's best candidate in
    training is taken: the search judged out of sample. ``pbo`` is the probability of backtest overfitting over the
    candidates. The matrix of daily returns, a row for each of ``candidates``, lies in ``returns_file``.
    """

    search_id: str
    strategy: str
    feed: str
    inputs: tuple[tuple[str, str], ...]
    profile: str
    sampler: str
    seed: int
    screened_by: str
    from_ns: int
    days: int
    holdout_days: int
    trials: int
    family_trials: int
    sharpe_variance: float | None
    path_sharpes: tuple[float, ...]
    pbo: float | None
    candidates: tuple[Candidate, ...]
    finalists: tuple[Finalist, ...]
    returns_file: Path

    def returns(self) -> Floats:
        """Return the daily net returns (candidates, days) of all candidates. Raises: DataError."""
        try:
            found: Floats = np.load(self.returns_file, allow_pickle=False)
        except (OSError, ValueError) as error:
            msg = f"{self.returns_file}: {error}"
            raise DataError(msg, hint="run the search again in a new run directory") from error
        if found.shape != (len(self.candidates), self.days):
            msg = f"{self.returns_file} holds {found.shape} returns, not {(len(self.candidates), self.days)}"
            raise DataError(msg, hint="run the search again in a new run directory")
        return found


def document_of(found: Found) -> dict[str, Any]:
    """Return the JSON document of ``memmcp-trade evolve --json``."""
    return {
        "search_id": found.search_id,
        "strategy": found.strategy,
        "feed": found.feed,
        "inputs": [list(pair) for pair in found.inputs],
        "profile": found.profile,
        "sampler": found.sampler,
        "seed": found.seed,
        "screened_by": found.screened_by,
        "from_ns": found.from_ns,
        "days": found.days,
        "holdout_days": found.holdout_days,
        "trials": found.trials,
        "family_trials": found.family_trials,
        "sharpe_variance": found.sharpe_variance,
        "path_sharpes": list(found.path_sharpes),
        "pbo": found.pbo,
        "returns_file": found.returns_file.name,
        "candidates": [
            {
                "number": each.number,
                "parameters": dict(each.parameters),
                "objectives": _figures(each.objectives),
                "trades": each.trades,
            }
            for each in found.candidates
        ],
        "finalists": [_finalist(each) for each in found.finalists],
    }


def save(found: Found) -> None:
    """Write the document beside the returns, whole or not at all. Raises: OSError."""
    target = found.returns_file.parent / FOUND_NAME
    part = target.with_suffix(".part")
    part.write_text(json.dumps(document_of(found), ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(target)


def load(run_dir: Path) -> Found:
    """Return what a finished search left in its run directory. Raises: DataError."""
    path = run_dir / FOUND_NAME
    try:
        body = json.loads(path.read_bytes())
        return Found(
            **{
                **body,
                "inputs": tuple((name, sha256) for name, sha256 in body["inputs"]),
                "path_sharpes": tuple(body["path_sharpes"]),
                "candidates": tuple(
                    Candidate(**{**each, "objectives": Objectives(**each["objectives"])}) for each in body["candidates"]
                ),
                "finalists": tuple(_read_finalist(each) for each in body["finalists"]),
                "returns_file": run_dir / RETURNS_NAME,
            }
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} is no finished search: {error}"
        raise DataError(msg, field="run_dir", hint="run memmcp-trade evolve with this --run-dir to its end") from error


def _figures(of: Objectives) -> dict[str, float]:
    return {"median_sharpe": of.median_sharpe, "low_sharpe": of.low_sharpe, "max_drawdown": of.max_drawdown}


def _finalist(each: Finalist) -> dict[str, Any]:
    return {
        "row": each.row,
        "parameters": dict(each.parameters),
        "objectives": _figures(each.objectives),
        "document": dict(each.document),
        "returns": list(each.returns),
        "test_sharpes": list(each.test_sharpes),
        "deflated_sharpe": each.deflated_sharpe,
        "holdout_document": None if each.holdout_document is None else dict(each.holdout_document),
        "holdout_returns": list(each.holdout_returns),
    }


def _read_finalist(body: Mapping[str, Any]) -> Finalist:
    return Finalist(
        **{
            **body,
            "objectives": Objectives(**body["objectives"]),
            "returns": tuple(body["returns"]),
            "test_sharpes": tuple(body["test_sharpes"]),
            "holdout_returns": tuple(body["holdout_returns"]),
        }
    )
