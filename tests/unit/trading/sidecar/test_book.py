"""The advice that came in, and the records of the models, as a fold."""

from decimal import Decimal

import pytest
from tests.doubles.scripted_market import MINT
from tests.support.advice import make_advice, make_exchange, scored

from trading.model.units import NS_PER_S
from trading.sidecar import book as books
from trading.sidecar.book import NEVER_NS, OTHER, AdviceBook, Outcome

pytestmark = pytest.mark.requirement("T14")

ONE = Decimal(1)


def test_the_newest_answer_about_a_token_is_kept_and_a_strategys_own_comes_first() -> None:
    book = AdviceBook()
    for name, strategy in (("asm_1", ""), ("asm_2", "a"), ("asm_3", "a")):
        book.take(make_exchange(id=name, strategy=strategy), 5, ONE)
    assert [getattr(book.about(MINT, each), "id", None) for each in ("a", "b")] == ["asm_3", "asm_1"]
    assert book.about("another", "a") is None


def test_a_fault_is_counted_and_an_answer_to_another_kind_of_question_is_not_weighed() -> None:
    book = AdviceBook()
    book.take(make_exchange(outcome="timeout"), 5, ONE)
    book.take(make_exchange(kind="review_loss"), 5, ONE)
    assert book.about(MINT, "momentum_breakout") is None
    assert book.outcomes_seen == {"timeout": 1, "answered": 1}


def test_of_one_model_kind_and_token_one_answer_at_a_time_is_scored() -> None:
    book = AdviceBook()
    book.take(make_exchange(id="asm_1"), 0, ONE)
    book.take(make_exchange(id="asm_2"), 1, ONE)
    book.take(make_exchange(id="asm_3", mint="other", is_cached=True), 1, ONE)
    book.take(make_exchange(id="asm_4", mint="unpriced"), 1, None)
    assert book.next_due_ns == 3_600 * NS_PER_S
    [due] = book.due(book.next_due_ns)
    assert due.exchange.id == "asm_1"
    book.came_out(due, Outcome(9, 120, ""))
    assert book.due(book.next_due_ns) == []
    assert [each.exchange.id for each, _ in book.decided()] == ["asm_1"]
    book.settle(scored(is_up=True, probability_bps=9_000, number=1))
    assert (book.decided(), book.next_due_ns) == ([], NEVER_NS)
    assert book.calibration("a-model", "entry").count == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "KEPT_MAX", 3)
    monkeypatch.setattr(books, "MODELS_MAX", 2)
    book = AdviceBook()
    for number in range(5):
        book.take(make_exchange(make_advice(model=f"m{number}"), mint=f"t{number}"), 0, ONE)
        score = scored(is_up=True, probability_bps=9_000, number=number)
        book.settle(type(score)(**{**{name: getattr(score, name) for name in score.__slots__}, "model": f"m{number}"}))
    assert [book.about(f"t{number}", "momentum_breakout") is not None for number in range(5)] == [False] * 2 + [
        True
    ] * 3
    assert sorted(model for model, _ in book.calibrations) == ["m0", "m1", OTHER]
