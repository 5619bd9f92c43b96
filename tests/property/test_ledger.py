"""The books under any order of fills, repeats and refusals: not one lamport appears or goes missing."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.trading import RENT, SOL, T0, deposit, filled, make_fill, rejected

from trading.errors import InvalidInput, LedgerMismatch
from trading.model.events import (
    AccountClosed,
    CapitalMoved,
    CapitalWithdrawn,
    FeePaid,
    LedgerEvent,
    OrderFilled,
    OrderRejected,
)
from trading.model.order import Side
from trading.portfolio.ledger import Ledger

BUCKETS = ("a", "b", "c")
MINTS = ("m1", "m2")


@dataclass(frozen=True)
class Step:
    """A wish; what comes of it depends on what is there."""

    action: str
    bucket: str
    other: str
    mint: str
    amount: int
    share: int
    fee: int


STEPS = st.lists(
    st.builds(
        Step,
        action=st.sampled_from(
            ["buy", "buy", "sell", "sell_all", "reject", "deposit", "withdraw", "move", "close_account", "fee"]
        ),
        bucket=st.sampled_from(BUCKETS),
        other=st.sampled_from(BUCKETS),
        mint=st.sampled_from(MINTS),
        amount=st.integers(1, SOL),
        share=st.integers(1, 100),
        fee=st.integers(0, 100_000),
    ),
    max_size=40,
)
EXAMPLES = settings(max_examples=120, deadline=None)


class Bank:
    """An outside record of the same events: what is in the wallet and what of each token, nothing else."""

    def __init__(self) -> None:
        self.lamports = 0
        self.units: dict[str, int] = {}

    def take(self, event: LedgerEvent) -> None:
        match event:
            case OrderFilled(fill=fill):
                sign = 1 if fill.side is Side.BUY else -1
                self.units[fill.mint] = self.units.get(fill.mint, 0) + sign * fill.base_units
                self.lamports -= sign * fill.lamports + fill.network_fee_lamports
                self.lamports -= fill.priority_fee_lamports + fill.rent_lamports
            case OrderRejected(rejected=refusal):
                self.lamports -= refusal.charged_lamports
            case CapitalWithdrawn() | FeePaid():
                self.lamports -= event.lamports
            case CapitalMoved():
                pass
            case _:
                self.lamports += getattr(event, "lamports", 0)


def _event(step: Step, n: int, ledger: Ledger) -> LedgerEvent | None:
    key = f"k{n}"
    match step.action:
        case "deposit":
            return deposit(step.amount, step.bucket, key)
        case "withdraw":
            return CapitalWithdrawn(key, T0, step.bucket, step.amount, "test")
        case "move":
            return CapitalMoved(key, T0, step.bucket, step.other, step.amount, "test")
        case "close_account":
            return AccountClosed(key, T0, step.mint, RENT, "test")
        case "fee":
            return FeePaid(key, T0, step.bucket, step.fee, "test")
        case "reject":
            return rejected(key, step.fee, step.bucket)
        case "buy":
            rent = 0 if step.mint in ledger.rent_deposits() else RENT
            fill = make_fill(key, mint=step.mint, lamports=step.amount, base_units=step.amount % 997 + 1)
            return filled(replace(fill, rent_lamports=rent, priority_fee_lamports=step.fee), step.bucket)
    position, holding = ledger.position(step.bucket, step.mint), ledger.holding(step.mint)
    if position is None or holding is None:
        return None
    units = position.base_units if step.action == "sell_all" else max(1, position.base_units * step.share // 100)
    returns = units == holding.base_units and step.mint in ledger.rent_deposits()
    rent = -RENT if returns else 0
    fill = make_fill(key, side=Side.SELL, mint=step.mint, lamports=step.amount, base_units=units, rent_lamports=rent)
    return filled(replace(fill, priority_fee_lamports=step.fee), step.bucket)


def _assert_agrees(ledger: Ledger, bank: Bank) -> None:
    ledger.verify()
    assert ledger.cash_lamports == bank.lamports == sum(book.cash_lamports for book in ledger.buckets.values())
    for mint in MINTS:
        holding = ledger.holding(mint)
        assert bank.units.get(mint, 0) == (holding.base_units if holding else 0)
        assert (holding is None) or holding.cost_lamports >= 0
    assert all(position.base_units > 0 for position in ledger.positions())


def _run(steps: list[Step], ledger: Ledger) -> list[LedgerEvent]:
    bank, booked = Bank(), []
    for n, step in enumerate([Step("deposit", "a", "a", "m1", 5 * SOL, 1, 0), *steps]):
        event = _event(step, n, ledger)
        if event is None:
            continue
        try:
            ledger.apply(event)
        except (InvalidInput, LedgerMismatch):  # more than there is: refused, and nothing may have changed
            _assert_agrees(ledger, bank)
            continue
        bank.take(event)
        booked.append(event)
        _assert_agrees(ledger, bank)
    return booked


@EXAMPLES
@given(STEPS)
@pytest.mark.requirement("T8")
def test_wallet_and_buckets_agree_to_the_lamport_after_every_event(steps: list[Step]) -> None:
    _run(steps, Ledger())


@EXAMPLES
@given(STEPS, st.data())
def test_repeats_in_any_order_change_nothing(steps: list[Step], data: st.DataObject) -> None:
    ledger = Ledger()
    booked = _run(steps, ledger)
    before = (ledger.cash_lamports, ledger.positions(), ledger.costs, ledger.realised_lamports)
    for event in data.draw(st.permutations(booked)):
        assert ledger.apply(event).duplicate
    assert (ledger.cash_lamports, ledger.positions(), ledger.costs, ledger.realised_lamports) == before


@EXAMPLES
@given(STEPS)
def test_folding_the_same_events_gives_the_same_books(steps: list[Step]) -> None:
    ledger = Ledger()
    again = Ledger.folded(_run(steps, ledger))
    assert again.positions() == ledger.positions()
    assert again.buckets == ledger.buckets
    assert (again.cash_lamports, again.costs) == (ledger.cash_lamports, ledger.costs)


@EXAMPLES
@given(STEPS, st.data())
def test_facts_in_disorder_are_booked_right_or_refused_never_booked_wrong(
    steps: list[Step], data: st.DataObject
) -> None:
    booked = _run(steps, Ledger())
    ledger, bank = Ledger(), Bank()
    for event in data.draw(st.permutations(booked)):
        try:
            if not ledger.apply(event).duplicate:
                bank.take(event)
        except (InvalidInput, LedgerMismatch):
            pass
        _assert_agrees(ledger, bank)


class _LeakyLedger(Ledger):
    """A control: keeps a lamport of every partial sale in the wallet and tells no bucket."""

    def _sold(self, event: OrderFilled):  # type: ignore[no-untyped-def]
        booking = super()._sold(event)
        if booking.closed is None:
            self._wallet_lamports += 1
        return booking


class _ForgetfulLedger(Ledger):
    """A control: books a repeat again."""

    def apply(self, event: LedgerEvent):  # type: ignore[no-untyped-def]
        self._seen.clear()
        return super().apply(event)


def test_control_a_ledger_that_leaks_a_lamport_is_caught() -> None:
    ledger = _LeakyLedger.folded([deposit(SOL), filled(make_fill())])
    with pytest.raises(LedgerMismatch, match="the buckets hold"):
        ledger.apply(filled(make_fill("s1", side=Side.SELL, base_units=1)))


def test_control_a_ledger_that_books_repeats_is_caught() -> None:
    step = Step("deposit", "a", "a", "m1", 5, 1, 0)
    ledger = _ForgetfulLedger()
    booked = _run([step], ledger)
    with pytest.raises(AssertionError):
        assert all(ledger.apply(event).duplicate for event in booked)
