"""Decisions as the desk tells memory of them: signals that were not acted on, and whole trades."""

from collections.abc import Iterator
from typing import Any, Final

from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.memory import MemoryDraft, Provenance, Trust
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.ports import JournalCommand

T0_NS: Final = 1_790_000_000_000_000_000
S: Final = 1_000_000_000
MINT: Final = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
DESK: Final = Provenance(agent="xavier", tool="desk", source="trading journal", trust=Trust.SYSTEM)
TRADING: Final = Namespace("trading")
STEPS: Final = ("signal", "verdict", "order", "fill") * 2
"""An entry and an exit."""
SPANS_OF_A_TRADE: Final = len(STEPS) + 1

_FIGURES: Final[dict[str, dict[str, Any]]] = {
    "signal": {
        "mint": MINT,
        "strategy": "momentum_breakout",
        "strength_percent": 62,
        "evidence": {"regime": "calm/up"},
    },
    "verdict": {"measures": [{"name": "exposure_bps_max", "used": 1_200, "limit": 3_000, "is_floor": False}]},
    "order": {"mint": MINT, "bucket": "core", "amount_in": 250_000_000, "max_slippage_bps": 100},
    "fill": {"mint": MINT, "lamports": 250_000_000, "base_units": 1_234_500_000, "slippage_bps": 17},
}


def note(
    kind: str, number: int, text: str, /, *, place: str = "trading", run: str = "run-1", **figures: Any
) -> MemoryDraft:
    return MemoryDraft(
        content=text,
        key=f"{run}/{number}/{kind}",
        ts_event_ns=T0_NS + number * S,
        namespace=Namespace(place),
        kind=kind,
        metadata={"run_id": run, **figures},
        provenance=DESK,
        embed=False,
    )


def passed(number: int) -> MemoryDraft:
    """Return a signal that was not acted on."""
    text = (
        "momentum_breakout on BONK was not acted on (exposure_bps_max): the exposure would be 3100 bps of 3000. "
        "It said: the close is above the high of the last 48 bars."
    )
    denied = {"reason": "exposure_bps_max", "message": "the exposure would be 3100 bps of 3000"}
    signal = {"mint": MINT, "strategy": "momentum_breakout", "strength_percent": 62, "evidence": {"regime": "calm/up"}}
    told = {"mint": MINT, "strategy": "momentum_breakout", "denied": denied, "signal": signal}
    return note("signal", number, text, **told, trajectory_id=f"run-1.signal-{number}")


def trade(number: int, run: str = "run-1") -> list[JournalCommand]:
    """Return a whole trade: opened, its steps, closed; every third one lost."""
    name = TrajectoryId(f"{run}.trade-{number}")
    began_ns = T0_NS + number * S
    opened = OpenTrajectory(
        id=name,
        namespace=TRADING,
        kind="trade",
        title="momentum_breakout buys BONK",
        text="momentum_breakout buys BONK for 0.25 SOL: the close is above the high of the last 48 bars",
        ts_event_ns=began_ns,
        metadata={"mint": MINT, "bucket": "core", "order_id": f"{name}/1"},
        tags=("momentum_breakout", "BONK"),
        provenance=DESK,
    )
    steps = [
        MemoryDraft(
            content=f"{kind} {place} of {name}: the close is above the high of the last 48 bars, volume is high",
            key=f"{run}/{number}/{place}/{kind}",
            ts_event_ns=began_ns + place * S,
            namespace=TRADING,
            kind=kind,
            metadata=_FIGURES[kind],
            trajectory_id=name,
            provenance=DESK,
            embed=False,
        )
        for place, kind in enumerate(STEPS, 1)
    ]
    won = -7_000_000 if number % 3 == 0 else 12_000_000
    closed = CloseTrajectory(
        id=name,
        outcome="won" if won > 0 else "lost",
        text="momentum_breakout won on BONK: it sold because the profit target was reached",
        ts_event_ns=began_ns + 600 * S,
        reward=won,
        reward_unit="lamports",
        metadata={"return_bps": won // 25_000, "holding_s": 600, "exit": "take_profit"},
        provenance=DESK,
    )
    return [opened, *steps, closed]


def decisions(first: int, count: int, *, trade_every: int) -> Iterator[list[JournalCommand]]:
    """Yield the commands of each decision; one of ``trade_every`` is a whole trade."""
    for number in range(first, first + count):
        yield trade(number) if number % trade_every == 0 else [passed(number)]
