"""Shares that rotate as memory and the page are told of them."""

from dataclasses import replace

import pytest
from tests.unit.trading.engine.test_rotation import OFF, RULES, market, run

from trading.adapters.canonical import canonical_json
from trading.model import events
from trading.model.event_codec import encode
from trading.model.rotation import RotationVerdict, StrategyShare
from trading.ports import JournalRow, MemoryRecord
from trading.runtime.remember import Remembrance
from trading.runtime.views import strategies

pytestmark = pytest.mark.requirement("T12")
MOVED = events.SharesRotated(
    *(86_400 * 10**9, "fixed_share", RotationVerdict.MOVED, 120, 50),
    (
        StrategyShare("momentum", 1_200, 31, 620_000_000, 340, 5, 5_000, 6_200, 5_500, ""),
        StrategyShare("reversion", None, 30, 380_000_000, -12, 5, 5_000, 3_800, 4_500, "bucket halted: losses"),
    ),
    "120 ppm are expected of the move over 20 days, more than its cost of 50",
)


def told(event: events.SharesRotated) -> MemoryRecord:
    kind, body = encode(event)
    [record] = Remembrance("run", 0, lambda _: ()).records_of(JournalRow(7, event.ts_ns, kind, canonical_json(body)))
    return record


def test_a_move_of_shares_is_remembered_with_old_and_new_shares_and_the_figures_it_rests_on() -> None:
    record = told(MOVED)
    assert record.text == (
        "The shares of the capital are others now: 120 ppm are expected of the move over 20 days, more than its cost "
        "of 50. momentum 50.00 % to 55.00 %: the day +0.120 %, +0.034 % a day over 31 days after shrinking, believed "
        "the best by 62.0 %, on its way to 62.00 %. reversion 50.00 % to 45.00 %: -0.001 % a day over 30 days after "
        "shrinking, believed the best by 38.0 %, on its way to 38.00 %; it gets nothing new (bucket halted: losses)."
    )
    assert (record.kind, record.tags, record.embed) == ("rotation", ("moved", "momentum", "reversion"), True)
    assert record.metadata["shares"][0]["after_bps"] == 5_500


def test_a_day_on_which_nothing_moves_has_no_vector() -> None:
    record = told(replace(MOVED, verdict=RotationVerdict.BY_HAND, reason="a move by hand stands for 7 days"))
    assert record.embed is False
    assert record.text.startswith("The shares of the capital stay where a person put them: a move by hand stands")


def test_the_strategies_say_their_shares_and_what_they_rest_on() -> None:
    bench = run(RULES, market(6))
    shown = {each["name"]: each["allocation"] for each in strategies(bench.kernel)}
    winner = shown["momentum_breakout"]
    assert sum(each["share_bps"] for each in shown.values()) == 10_000
    assert winner["share_bps"] > winner["weight_bps"] == 3_334
    assert (winner["rotation"], winner["verdict"], winner["windows"]) == ("fixed_share", "moved", 5)
    assert winner["rests_until"] is None


def test_where_shares_stay_the_share_is_the_weight() -> None:
    bench = run(OFF, market(2))
    assert [each["allocation"] for each in strategies(bench.kernel)] == [
        {"weight_bps": weight, "share_bps": weight, "rotation": "off"} for weight in (3_334, 3_333, 3_333)
    ]
