"""What is recalled is told: in the chain of a trade, and to memory when it is known what came of a situation."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.remembering import ALWAYS, PROVEN, bench_of, journey, rules

from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.journal_archive import RunArchive
from trading.adapters.sql_journal import JournalStore
from trading.model import events
from trading.model.event_codec import encode
from trading.model.forecast import Direction
from trading.model.recall import Recollection, Situation
from trading.model.rug_rules import RugRules
from trading.ports import JournalRow, MemoryRecord
from trading.recall.situations import DIMENSIONS, FEATURES, UNITS
from trading.runtime.history import RunView, chain
from trading.runtime.recall_texts import judged_text, outcome_text, recalled_text, situation_text
from trading.runtime.relay import TOLD_KINDS, TRADE_KINDS
from trading.runtime.remember import Remembrance

pytestmark = pytest.mark.requirement("T13")

NAMES = [each.name for each in FEATURES]
S = "momentum_breakout"
RECOLLECTION = Recollection(50, 3_000, -40, 25, -300, -20, 280, 9_000, -117, 4_100, 300, 280, ("a", "b"))
ANSWER = events.SituationRecalled("trj", S, "m", 5, "fct", 120, 400, True, RECOLLECTION)


def situation(**features: float) -> Situation:
    levels = [0] * DIMENSIONS
    for name, value in features.items():
        place = NAMES.index(name)
        levels[place] = round(value / FEATURES[place].scale * UNITS)
    return Situation("fct", "trj", S, "m", 1_700_000_000 * 10**9, 120, 60, 1, ",".join(map(str, levels)))


def test_a_situation_is_told_in_the_words_of_a_question_for_it() -> None:
    text = situation_text(
        situation(return_24=-2.5, volatility_rank=1, below_high_168=-3, volume=1.5, sol_24=1.2, breadth_24=-0.8),
        "BONK",
    )
    assert text == (
        "What the market was like when momentum_breakout spoke for BONK on 2023-11-14T22:13:20+00:00: "
        "BONK over 24 bars falling strongly, BONK over 168 bars sideways, wild, volatile, far below its high, "
        "high volume, SOL rising, the other tokens sideways, most tokens fell. It stated an edge of 1.2 %."
    )
    calm = situation_text(situation(volatility_rank=-1, volume=-2, below_high_168=-1, breadth_24=0.8), "BONK")
    for words in ("calm", "low volume", "below its high", "most tokens rose"):
        assert words in calm
    assert "features of version 2" in situation_text(replace(situation(), version=2), "BONK")


def test_what_came_of_it_says_whether_it_paid() -> None:
    assert outcome_text(situation(), 100) == "What came of it: the price moved 1 %, 0.4 % after costs; it paid."
    assert outcome_text(situation(), 60).endswith("it did not pay.")


def test_an_answer_tells_its_sample_its_spread_and_what_was_made_of_it() -> None:
    text = recalled_text(ANSWER, "BONK")
    assert text.startswith("50 of 400 situations most like BONK's came to -0.4 % on average, give or take 0.25 %")
    assert text.endswith("The stated edge of 1.2 % becomes 0.03 %")
    assert "has not proved" in recalled_text(replace(ANSWER, is_used=False), "BONK")
    still = replace(ANSWER, recollection=replace(RECOLLECTION, shift_bps=0))
    assert "more than chance" in recalled_text(still, "BONK")
    assert "too few" in recalled_text(replace(ANSWER, known=7, recollection=None), "BONK")


def test_a_verdict_about_recall_is_told() -> None:
    judged = events.RecallJudged(5, S, False, 40, 300, 310, "recalled edges are off by 310 bps")
    text = "Recall no longer shifts what momentum_breakout states: recalled edges are off by 310 bps, over 40 answers."
    assert judged_text(judged) == text
    assert "Recall shifts what" in judged_text(replace(judged, shifts=True))


def records(tmp_path: Path) -> tuple[list[MemoryRecord], JournalStore, int]:
    """Return what memory is told of a run that remembers, by a relay that begins anew before each row."""
    store = JournalStore.at(tmp_path / "journal.db")
    journal = store.start_run("run", "identity", 0)
    market, said = journey(1, 200, -0.0015)
    bench_of(said, rules(PROVEN), journal=journal).feed(market)
    journal.commit()
    archive = RunArchive(store, journal.run)
    found: list[MemoryRecord] = []
    for row in journal.rows(kinds=TOLD_KINDS):
        told = Remembrance("run", 0, lambda name: archive.mentioning((name,), TRADE_KINDS))
        if row.kind in ("forecast_scored", "recall_judged"):
            found += told.records_of(row)
    return found, store, journal.run


def test_memory_gets_a_copy_of_each_situation_when_its_outcome_is_known(tmp_path: Path) -> None:
    told, store, run = records(tmp_path)
    journal = store.open_run(run)
    scores = [parse_json(row.body)["score"] for row in journal.rows(kinds=("forecast_scored",))]
    met = {parse_json(row.body)["situation"]["id"] for row in journal.rows(kinds=("situation_met",))}
    copies = [each for each in told if each.kind == "situation"]
    rises = [each for each in scores if each["direction"] == Direction.UP.value and each["forecast_id"] in met]
    assert [each.metadata["id"] for each in copies] == [each["forecast_id"] for each in rises]
    assert [each.metadata["move_bps"] for each in copies] == [each["realised_bps"] for each in rises]
    for each in copies:
        assert (each.namespace, each.embed, each.action) == (f"strategies/{S}", True, "note")
        assert "What the market was like" in each.text
        assert "What came of it" in each.text
    assert len({each.key for each in told}) == len(told)
    assert [each.kind for each in told].count("recall") == len(list(journal.rows(kinds=("recall_judged",)))) > 0
    store.close()


def test_a_score_without_its_situation_is_told_without_one() -> None:
    market, said = journey(1, 60)
    scored = bench_of(said, rules(ALWAYS)).feed(market).events(events.ForecastScored)[0]
    kind, body = encode(scored)
    told = Remembrance("run", 0, lambda _: ()).records_of(JournalRow(1, 5, kind, canonical_json(body)))
    assert [each.kind for each in told] == ["outcome"]


def test_the_chain_of_a_trade_tells_what_was_recalled_before_it(tmp_path: Path) -> None:
    _, store, run = records(tmp_path)
    journal = store.open_run(run)
    recalled = [parse_json(row.body) for row in journal.rows(kinds=("situation_recalled",))]
    orders = {
        parse_json(row.body)["order"]["trajectory_id"]: parse_json(row.body)["order"]["id"]
        for row in journal.rows(kinds=("order_approved",))
    }
    answer = next(each for each in recalled if each["recollection"] and each["trajectory_id"] in orders)
    view = RunView("run", journal, RunArchive(store, run), {}, 0, {}, {}, RugRules())
    found = chain(view, order_id=orders[answer["trajectory_id"]], trajectory_id=None)
    assert found is not None
    steps = [each["step"] for each in found["chain"]]
    assert steps.index("forecast") < steps.index("situation") < steps.index("recalled") < steps.index("order")
    step = found["chain"][steps.index("recalled")]
    assert step["figures"]["recollection"]["nearest"] == answer["recollection"]["nearest"]
    assert "most like" in step["text"]
    store.close()
