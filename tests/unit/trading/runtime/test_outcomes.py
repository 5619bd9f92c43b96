"""What came of a trade, in the words in which people ask for it."""

from dataclasses import replace
from typing import Any

import pytest

from trading.model import events
from trading.model.instrument import Instrument
from trading.model.order import Fill, Order, Purpose, Rejected, Side, Signal
from trading.runtime.outcomes import duration_text, outcome_of

pytestmark = pytest.mark.requirement("M6")
MINT = "BonkMint1"
BONK = Instrument(MINT, "BONK", 5)
MINUTE_NS = 60 * 1_000_000_000
T0 = 1_700_000_000 * 1_000_000_000

SIGNAL = Signal(
    "momentum_breakout",
    MINT,
    T0,
    0.5,
    300,
    3_600,
    "closed above the high of 288 bars with 2.3 times the usual volume, regime wild/down",
    {"regime": "wild/down"},
)
ORDER = Order(
    "o1", "t", T0, Side.BUY, Purpose.ENTRY, MINT, SIGNAL.strategy, "momentum_breakout", 270_000_000, 1, 5, SIGNAL.reason
)
BOUGHT = Fill("o1", T0, Side.BUY, MINT, 270_000_000, 12_345_600, 1, 1, 5_000, 5, 0, 12)
SOLD = replace(BOUGHT, order_id="o2", side=Side.SELL, lamports=100_000_000)


def filled(fill: Fill) -> events.OrderFilled:
    return events.OrderFilled("t", SIGNAL.strategy, "momentum_breakout", fill)


TRADE: list[Any] = [
    events.SignalRaised("t", SIGNAL),
    events.OrderApproved(ORDER, ()),
    filled(BOUGHT),
    events.SignalRaised("t", replace(SIGNAL, ts_ns=T0 + 1, strength=-1.0, reason="it is over", evidence={})),
    filled(SOLD),
    filled(replace(SOLD, lamports=157_700_000)),
]


def closed(realised: int, reason: str, **fields: Any) -> events.PositionClosed:
    given: dict[str, Any] = {"return_bps": realised // 10_000, "holding_ns": 185 * MINUTE_NS, **fields}
    return events.PositionClosed(
        "t", SIGNAL.strategy, "momentum_breakout", MINT, T0, realised_lamports=realised, reason=reason, **given
    )


def test_a_lost_trade_says_who_bought_what_why_how_much_it_lost_and_how_it_ended() -> None:
    told = outcome_of(closed(-12_300_000, "stop_loss: 520 bps below cost", return_bps=-456), TRADE, BONK)
    assert told.outcome == "lost"
    assert told.text == (
        "momentum_breakout lost 0.0123 SOL (-4.56 %) on BONK: a losing trade, it failed, held for 3 h 5 min. "
        "It bought 123.456 BONK for 0.27 SOL because: closed above the high of 288 bars with 2.3 times the usual "
        "volume, regime wild/down. The market was wild, volatile and falling. "
        "It sold for 0.2577 SOL because the stop loss was hit (stop_loss: 520 bps below cost). "
        "Token BONK, mint BonkMint1, bucket momentum_breakout."
    )
    assert told.figures == {
        "mint": MINT,
        "symbol": "BONK",
        "strategy": "momentum_breakout",
        "bucket": "momentum_breakout",
        "return_bps": -456,
        "holding_s": 11_100,
        "exit": "stop_loss",
        "regime": "wild/down",
    }


@pytest.mark.parametrize(
    ("realised", "reason", "words", "outcome", "exit_word"),
    [
        (5, "take_profit: 900 bps above cost", "won 0.000000005 SOL (+5 %) on BONK: a winning", "won", "take_profit"),
        (0, "holding_time: held for 60 s", "came out even on BONK", "even", "holding_time"),
        (-5, "written off: rugged", "for nothing: the token was given up", "lost", "written off"),
        (-5, "halted: drawdown", "because the desk was halted (halted: drawdown)", "lost", "halted"),
        (-5, "signal: closed below", "because the strategy changed its opinion", "lost", "signal"),
        (-5, "cursor: I do not like it", "by hand (cursor: I do not like it)", "lost", "by hand"),
    ],
)
def test_each_end_has_its_words(realised: int, reason: str, words: str, outcome: str, exit_word: str) -> None:
    told = outcome_of(closed(realised, reason, return_bps=500), TRADE, BONK)
    assert words in told.text
    assert (told.outcome, told.figures["exit"]) == (outcome, exit_word)


def test_an_entry_that_was_never_filled_says_so() -> None:
    rejected = events.OrderRejected("t", "s", "b", Rejected("o1", T0, "slippage", "moved", 5_000))
    end = closed(-5_000, "not filled: slippage: moved", return_bps=0, holding_ns=0)
    told = outcome_of(end, [*TRADE[:2], rejected], BONK)
    assert told.text.startswith(
        "momentum_breakout did not get into BONK: the order was not filled: slippage: moved; the failed attempt lost "
        "0.000005 SOL in fees. It wanted to buy for 0.27 SOL because: closed above"
    )
    assert "It sold" not in told.text
    free = outcome_of(replace(end, realised_lamports=0), [], None)
    assert free.text == (
        "momentum_breakout did not get into BonkMint1: the order was not filled: slippage: moved. "
        "Token BonkMint1, mint BonkMint1, bucket momentum_breakout."
    )


def test_a_trade_whose_beginning_is_not_known_is_told_as_far_as_it_is() -> None:
    told = outcome_of(closed(-5, "stop_loss: x"), [], None)
    assert "It bought" not in told.text
    assert "regime" not in told.figures
    assert told.text.endswith("Token BonkMint1, mint BonkMint1, bucket momentum_breakout.")


@pytest.mark.parametrize(
    ("minutes", "text"), [(0, ""), (59, "59 min"), (60, "1 h"), (1_440, "1 d"), (1_501, "1 d 1 h 1 min")]
)
def test_durations(minutes: int, text: str) -> None:
    assert duration_text(minutes * MINUTE_NS) == text
