"""Correlations against an independent estimate, and what they do to the size of an entry."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, fingerprint, profile
from tests.doubles.scripted_market import MINT, ScriptedFeed, merged, script
from tests.support.trading import SOL, make_bar, make_signal

from trading.engine import checkpoint
from trading.model import events
from trading.model.account import TrackRecord
from trading.model.market_data import Bar, MarketEvent
from trading.model.order import Denied
from trading.model.profile import FOUNDATION, SizingRules
from trading.model.tier import TIERS
from trading.risk.correlation import (
    TOKENS_MAX,
    Likeness,
    alike_lamports,
    diversified_lamports,
    shrunken,
    summed_lamports,
)
from trading.risk.returns import PERIOD_NS, RETURNS_MAX, ReturnBook
from trading.risk.sizing import Sized, SizingView, size

RULES = FOUNDATION.sizing.model_copy(update={"correlation_bps": 10_000, "correlation_hours_min": 24})


def by_the_paper(rows: Sequence[Sequence[int]]) -> tuple[Any, float]:
    """Return the shrunken correlations and the shrinkage as in the authors' program (covCor), matrix by matrix."""
    y = np.array(rows, dtype=float).T
    hours, count = y.shape
    y = y - y.mean(axis=0)
    sample = y.T @ y / hours
    spread = np.sqrt(np.diag(sample))
    correlation = sample / np.outer(spread, spread)
    common = (correlation.sum() - count) / (count * (count - 1))
    prior = common * np.outer(spread, spread)
    np.fill_diagonal(prior, np.diag(sample))
    squares = y**2
    pi = squares.T @ squares / hours - sample**2
    theta = (y**3).T @ y / hours - np.diag(sample)[:, None] * sample
    np.fill_diagonal(theta, 0.0)
    rho = np.diag(pi).sum() + common * (np.outer(1 / spread, spread) * theta).sum()
    gamma = ((sample - prior) ** 2).sum()
    shrinkage = max(0.0, min(1.0, (pi.sum() - rho) / gamma / hours))
    mixed = shrinkage * prior + (1 - shrinkage) * sample
    return mixed / np.outer(spread, spread), shrinkage


def moves(seed: int, tokens: int, hours: int, common: float = 0.6) -> list[list[int]]:
    """Return returns in millionths of tokens that share a market, each with a volatility of its own."""
    chance = random.Random(seed)
    market = [chance.gauss(0, 1) for _ in range(hours)]
    return [
        [
            round(3_000 * (1 + place) * (common * each + math.sqrt(1 - common**2) * chance.gauss(0, 1)))
            for each in market
        ]
        for place in range(tokens)
    ]


@pytest.mark.requirement("T6")
@pytest.mark.parametrize(("seed", "tokens", "hours"), [(1, 3, 60), (2, 5, 168), (3, 8, 240), (4, 4, 24)])
def test_correlations_are_those_of_the_paper(seed: int, tokens: int, hours: int) -> None:
    rows = moves(seed, tokens, hours)
    expected, shrinkage = by_the_paper(rows)
    found = shrunken(rows)
    assert found.shrinkage == pytest.approx(shrinkage, abs=1e-9)
    assert found.correlations == pytest.approx(expected[0], abs=1e-9)
    assert found.volatilities == pytest.approx(np.std(np.array(rows), axis=1), rel=1e-9)


def test_little_data_is_shrunken_more_and_two_tokens_have_nothing_to_be_shrunken_to() -> None:
    little, much = (shrunken([*moves(5, 3, hours, common=0.9), *moves(6, 3, hours, common=0.0)]) for hours in (24, 240))
    assert 0.0 < much.shrinkage < little.shrinkage < 1.0
    pair = moves(6, 2, 100)
    assert shrunken(pair).shrinkage == 0.0
    assert shrunken(pair).correlations[1] == pytest.approx(np.corrcoef(pair)[0, 1], abs=1e-9)


def book_of(rows: Mapping[str, Sequence[int]]) -> ReturnBook:
    """Return a book that has seen these returns hour by hour."""
    book = ReturnBook()
    closes = dict.fromkeys(rows, 1.0)
    for hour in range(max(map(len, rows.values())) + 1):
        bars: list[Bar | None] = []
        for mint, row in rows.items():
            late = max(map(len, rows.values())) - len(row)
            if hour < late:
                continue
            if hour > late:
                closes[mint] *= 1 + row[hour - late - 1] / 1_000_000
            bars.append(make_bar(mint=mint, close=repr(closes[mint]), ts_close_ns=(hour + 1) * PERIOD_NS))
        book.sample((hour + 1) * PERIOD_NS, bars)
    return book


def test_what_moves_alike_counts_in_full_and_what_moves_apart_not_at_all() -> None:
    up = moves(7, 1, 60)[0]
    rows = {"a": up, "twin": up, "double": [2 * each for each in up], "mirror": [-each for each in up]}
    book = book_of(rows)
    assert alike_lamports(book, {}, "a", RULES) == 0
    assert alike_lamports(book, {"a": SOL}, "a", RULES) == 0  # the token itself has limits of its own
    assert alike_lamports(book, {"twin": SOL}, "a", RULES) == pytest.approx(SOL, rel=1e-3)
    assert alike_lamports(book, {"double": SOL}, "a", RULES) == pytest.approx(2 * SOL, rel=1e-2)
    assert alike_lamports(book, {"mirror": SOL}, "a", RULES) == 0
    half = RULES.model_copy(update={"correlation_bps": 5_000})
    assert alike_lamports(book, {"twin": SOL}, "a", half) == pytest.approx(SOL // 2, rel=1e-3)
    off = RULES.model_copy(update={"correlation_bps": 0})
    assert alike_lamports(book, {"a": SOL, "twin": SOL}, "a", off) == 0


def test_of_a_token_with_little_history_or_that_never_moved_the_declared_correlation_is_assumed() -> None:
    rows = {"a": moves(8, 1, 60)[0], "young": moves(9, 1, 23)[0], "still": [0] * 60}
    book = book_of(rows)
    for other, mint in (("young", "a"), ("still", "a"), ("nobody", "a"), ("a", "young"), ("a", "still")):
        assert alike_lamports(book, {other: SOL}, mint, RULES) == SOL * 7 // 10, (other, mint)
    certain = RULES.model_copy(update={"correlation_unknown_bps": 10_000})
    assert alike_lamports(book, {"young": SOL}, "a", certain) == SOL


def test_an_estimate_is_bounded_and_what_is_beyond_counts_as_unknown() -> None:
    names = [f"t{number:02}" for number in range(TOKENS_MAX + 3)]
    book = book_of(dict(zip(names, moves(10, len(names), 30, common=0.0), strict=True)))
    held = {name: SOL + number for number, name in enumerate(names[1:])}
    beyond = sorted(held, key=lambda name: -held[name])[TOKENS_MAX - 1 :]
    assert len(beyond) == 3
    assert alike_lamports(book, held, names[0], RULES) >= sum(held[name] for name in beyond) * 7 // 10
    assert book.hours(names[0]) == 30
    assert book_of({"a": moves(1, 1, RETURNS_MAX + 20)[0]}).hours("a") == RETURNS_MAX


@pytest.mark.requirement("T6")
def test_the_size_beside_what_moves_alike_is_the_closed_form() -> None:
    """x0 = 4, A = 3: sqrt(16 + 9) - 3 = 2; beside as much again, A = x0: sqrt(2) - 1 of it."""
    assert diversified_lamports(4 * SOL, 3 * SOL) == 2 * SOL
    assert diversified_lamports(SOL, SOL) == int((math.sqrt(2) - 1) * SOL)
    assert diversified_lamports(SOL, 0) == SOL
    assert diversified_lamports(0, SOL) == 0


RECORDS = st.sampled_from([TrackRecord(), TrackRecord(400, 240, 400, 300), TrackRecord(30, 10, 100, 300)])


@pytest.mark.requirement("T6")
@settings(max_examples=200, deadline=None)
@given(RECORDS, st.integers(SOL, 10_000 * SOL), st.integers(0, 10_000 * SOL), st.integers(0, 10_000 * SOL))
def test_a_size_never_grows_with_what_moves_alike_and_is_never_above_the_one_that_stands_alone(
    record: TrackRecord, equity: int, one: int, two: int
) -> None:
    def sized(alike: int) -> int:
        view = SizingView(equity, equity, 10**6 * SOL, 25, 50_000, 9_000, 50, alike_lamports=alike)
        rules = FOUNDATION.sizing.model_copy(update={"order_lamports_min": 1})
        found = size(make_signal(), record, view, rules, TIERS[0])
        return 0 if isinstance(found, Denied) else found.lamports

    less, more = sorted((one, two))
    assert sized(more) <= sized(less) <= sized(0)


HELD = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.integers(1, 100 * SOL), st.floats(-1, 1), st.floats(0.1, 10)),
    min_size=1,
)


@pytest.mark.requirement("T6")
@settings(max_examples=200, deadline=None)
@given(HELD, st.data())
def test_a_size_never_grows_with_the_correlation_of_anything_that_is_held(
    held: dict[str, tuple[int, float, float]], data: st.DataObject
) -> None:
    values = {token: value for token, (value, _, _) in held.items()}
    alike = {token: Likeness(correlation, ratio) for token, (_, correlation, ratio) in held.items()}
    token = data.draw(st.sampled_from(sorted(held)))
    more = alike | {token: replace(alike[token], correlation=data.draw(st.floats(held[token][1], 1)))}
    wanted = data.draw(st.integers(1, 100 * SOL))
    before, after = (diversified_lamports(wanted, summed_lamports(values, each, 10_000)) for each in (alike, more))
    assert after <= before <= wanted


def test_the_bound_is_named_when_correlation_set_the_size() -> None:
    view = SizingView(2 * SOL, SOL, 2_000 * SOL, 25, 50_000, 100, 50, alike_lamports=SOL // 5)
    found = size(make_signal(), TrackRecord(), view, FOUNDATION.sizing, TIERS[0])
    assert isinstance(found, Sized)
    assert found == Sized(diversified_lamports(SOL // 5, SOL // 5), "correlation")


def waves(seed: int, mint: str, beat: Sequence[float]) -> list[MarketEvent]:
    chance = random.Random(seed)
    price, prices = Decimal(1), []
    for each in beat:
        price *= 1 + Decimal(round(each + chance.gauss(0, 3))) / 10_000
        prices.append(price.quantize(Decimal("0.000001")))
    return list(script(prices, mint=mint))


def two_tokens(*, alike: bool, cycles: int = 900) -> list[MarketEvent]:
    chance = random.Random(1)
    beat = [chance.gauss(0, 20) for _ in range(cycles)]
    other = beat if alike else [chance.gauss(0, 20) for _ in range(cycles)]
    return merged(waves(2, MINT, beat), waves(3, "sim:BBB", other))


def entries(market: list[MarketEvent], rules: SizingRules) -> tuple[KernelBench, dict[str, int]]:
    """Let the desk buy one token, and an hour later the other; return what it spent on each."""
    counted: dict[str, int] = {}

    def opinion(bar: Bar) -> float | None:
        counted[bar.mint] = counted.get(bar.mint, 0) + 1
        return 1.0 if counted[bar.mint] == (850 if bar.mint == MINT else 862) else None

    wanted = profile(total_exposure_bps_max=9_000, gap_joint_bps_max=9_000)
    bench = KernelBench(opinion, rules=wanted.model_copy(update={"sizing": rules}))
    bench.feed(market)
    return bench, {each.order.mint: each.order.amount_in for each in bench.events(events.OrderApproved)
                   if each.order.side.value == "buy"}  # fmt: skip


@pytest.mark.requirement("T6")
def test_a_desk_buys_less_of_a_token_that_moves_like_what_it_holds() -> None:
    _, alike = entries(two_tokens(alike=True), RULES)
    bench, apart = entries(two_tokens(alike=False), RULES)
    _, off = entries(two_tokens(alike=True), RULES.model_copy(update={"correlation_bps": 0}))
    assert alike[MINT] == apart[MINT] == off[MINT]
    assert alike["sim:BBB"] < 0.5 * off["sim:BBB"]
    assert 0.7 * off["sim:BBB"] < apart["sim:BBB"] <= off["sim:BBB"]
    assert bench.kernel.state.returns.hours(MINT) == 900 * 300 // 3_600


def test_returns_are_the_same_after_a_restore_from_rows_and_from_their_memento() -> None:
    market = two_tokens(alike=True)
    bench, _ = entries(market, RULES)
    again = bench.restored(ScriptedFeed(market))
    memento = checkpoint._memento()
    assert fingerprint(again.kernel) == fingerprint(bench.kernel)
    told = memento.encode(bench.kernel.state.returns)
    assert memento.encode(again.kernel.state.returns) == told
    other = ReturnBook()
    memento.fill(other, told)
    assert memento.encode(other) == told
    for book in (bench.kernel.state.returns, other):
        book.sample(book.due_ns, [make_bar(mint=MINT, ts_close_ns=book.due_ns)])
    assert memento.encode(other) == memento.encode(bench.kernel.state.returns)
