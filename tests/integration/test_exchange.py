"""Orders at an exchange are made exactly once, whatever becomes of the answers; against a loopback exchange."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from tests.support.exchange_desk import KEY, SECRET, ExchangeDesk, Fault
from tests.support.market_server import SteppedClock

from trading.adapters.exchange.gateway import ExchangePair, order_name
from trading.adapters.exchange.leg import ExchangeLeg
from trading.arbitrage.trips import Attempt, Dead, Phase, Settled, attempt_floor
from trading.config import ExchangeSection
from trading.errors import ExchangeRefused, ExchangeUnavailable, InvalidInput
from trading.settings import load

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
SOL, USDC, S = 10**9, 10**6, 10**9
Stage = tuple[ExchangeDesk, ExchangeLeg, SteppedClock, ExchangePair]


def section(url: str, **changes: Any) -> ExchangeSection:
    given: dict[str, Any] = {
        "id": "binance",
        "api_key": SecretStr(KEY),
        "secret": SecretStr(SECRET),
        "base_url": url,
        "calls_per_second": 10_000,
        "timeout_s": 2.0,
    }
    return ExchangeSection(**given | changes)


@asynccontextmanager
async def exchange(*, money_is_base: bool = True, skew_ms: int = 0, **changes: Any) -> AsyncIterator[Stage]:
    clock = SteppedClock()
    async with ExchangeDesk.serving(lambda: clock.now_ns() // 10**6 + skew_ms) as desk:
        given = section(desk.url, **changes)
        async with ExchangePair.connect(given, "SOL/USDC", (9, 6), clock) as pair:
            leg = ExchangeLeg("exchange", pair, clock, money_is_base=money_is_base, has_key=given.has_key)
            yield desk, leg, clock, pair


def attempt(clock: SteppedClock, amount_in: int, amount_out_min: int, phase: Phase = Phase.FIRST) -> Attempt:
    return Attempt(f"t1:{phase}:0", phase, "exchange", amount_in, amount_out_min, clock.now_ns() + 2 * S)


async def test_a_look_gives_quotes_of_the_book_and_what_is_free() -> None:
    async with exchange() as (_, leg, _, _):
        look = await leg.look()
    assert look.there.quote(10 * SOL) == 1_499 * USDC * 999 // 1_000
    assert look.back.quote(1_501 * USDC) == 999 * SOL // 100
    assert (look.money_free, look.middle_free) == (100 * SOL, 20_000 * USDC)


async def test_without_a_key_there_are_prices_and_nothing_is_free() -> None:
    async with exchange(api_key=None, secret=None) as (desk, leg, _, _):
        look = await leg.look()
    assert (look.money_free, look.middle_free, desk.calls["account"]) == (0, 0, 0)


@pytest.mark.parametrize("phase", [Phase.FIRST, Phase.SECOND])
@pytest.mark.parametrize("money_is_base", [True, False])
async def test_a_fill_is_told_to_the_last_decimal_with_its_fees(phase: Phase, money_is_base: bool) -> None:
    async with exchange(money_is_base=money_is_base) as (desk, leg, clock, _):
        before = dict(desk.free)
        is_sale = (phase is Phase.FIRST) == money_is_base
        wanted = attempt(clock, *((10 * SOL, 1_490 * USDC) if is_sale else (1_501 * USDC, 9_900_000_000)), phase)
        settled = await leg.send(wanted)
    assert isinstance(settled, Settled)
    gone = {name: before[name] - desk.free[name] for name in ("SOL", "USDC")}
    paid, got = (gone["SOL"] * SOL, -gone["USDC"] * USDC) if is_sale else (gone["USDC"] * USDC, -gone["SOL"] * SOL)
    assert (settled.amount_in, settled.amount_out, settled.cost) == (paid, int(got), 0)
    assert settled.amount_out >= attempt_floor(wanted, settled.amount_in)


async def test_a_fee_in_the_exchanges_own_coin_is_counted_as_what_it_stands_for() -> None:
    async with exchange() as (desk, leg, clock, _):
        desk.fee_currency = "BNB"
        settled = await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC))
    assert settled == Settled("t1:first:0", 10 * SOL, 1_499 * USDC, SOL // 100, clock.now_ns())


DONE: tuple[Fault, ...] = ("lost", "broken", "garbage", "slow")


@pytest.mark.parametrize("fault", DONE)
async def test_an_order_whose_answer_is_lost_is_looked_up_and_never_sent_again(fault: Fault) -> None:
    async with exchange(timeout_s=0.5) as (desk, leg, clock, _):
        desk.faults["order"].append(fault)
        wanted = attempt(clock, 10 * SOL, 1_490 * USDC)
        with pytest.raises(ExchangeUnavailable):
            await leg.send(wanted)
        settled = await leg.ask(wanted)
    assert isinstance(settled, Settled)
    assert (settled.amount_in, len(desk.received)) == (10 * SOL, 1)


async def test_an_order_that_never_came_is_dead_only_when_its_window_is_over() -> None:
    async with exchange() as (desk, leg, clock, _):
        desk.faults["order"].append("unsent")
        wanted = attempt(clock, 10 * SOL, 1_490 * USDC)
        with pytest.raises(ExchangeUnavailable):
            await leg.send(wanted)
        for _ in range(4):
            with pytest.raises(ExchangeUnavailable, match="does not know"):
                await leg.ask(wanted)
            clock.advance(2.4)
        clock.advance(0.5)
        assert isinstance(await leg.ask(wanted), Dead)
        assert desk.received == []


@pytest.mark.parametrize(("delayed_ms", "is_taken"), [(2_000, True), (20_000, False)])
async def test_an_order_that_was_long_under_way_is_taken_within_its_window_or_never(
    delayed_ms: int, is_taken: bool
) -> None:
    async with exchange() as (desk, leg, clock, _):
        desk.delayed_ms = delayed_ms
        desk.faults["order"].append("delayed")
        wanted = attempt(clock, 10 * SOL, 1_490 * USDC)
        with pytest.raises(ExchangeUnavailable):
            await leg.send(wanted)
        clock.advance(10.1)
        outcome = await leg.ask(wanted)
        clock.advance(60)
        await leg.look()
    assert isinstance(outcome, Settled if is_taken else Dead)
    assert len(desk.orders) == is_taken


@pytest.mark.parametrize("fault", ["reject", "rate"])
async def test_what_the_exchange_refuses_is_dead_at_once(fault: Fault) -> None:
    async with exchange() as (desk, leg, clock, _):
        desk.faults["order"].append(fault)
        assert isinstance(await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC)), Dead)
        if fault == "rate":  # and it is left alone for as long as it asked
            assert isinstance(await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC)), Dead)
        assert (desk.calls["order"], desk.received) == (1, [])


async def test_a_part_that_was_filled_is_told_as_a_part() -> None:
    async with exchange() as (desk, leg, clock, _):
        desk.faults["order"].append("half")
        settled = await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC))
        assert isinstance(settled, Settled)
        assert (settled.amount_in, settled.amount_out) == (5 * SOL, 1_499 * USDC * 999 // 2_000)


@pytest.mark.parametrize("skew_ms", [-60_000, 60_000])
async def test_a_clock_that_is_off_gets_no_order_refused(skew_ms: int) -> None:
    async with exchange(skew_ms=skew_ms) as (_, leg, clock, _):
        assert isinstance(await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC)), Settled)


async def test_a_clock_that_jumps_costs_one_refused_order_and_is_set_anew() -> None:
    async with exchange() as (desk, leg, clock, _):
        jumped = desk.now_ms
        desk.now_ms = lambda: jumped() + 3_600_000
        assert isinstance(await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC)), Dead)
        assert isinstance(await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC, Phase.SECOND)), Settled | Dead)
        assert len(desk.orders) <= 1
        assert (await leg.look()).money_free > 0


async def test_what_is_asked_for_too_late_is_not_signed() -> None:
    async with exchange() as (desk, leg, clock, _):
        wanted = attempt(clock, 10 * SOL, 1_490 * USDC)
        clock.advance(3)
        assert isinstance(await leg.send(wanted), Dead)
        assert desk.calls["order"] == 0


async def test_an_answer_that_is_too_long_is_none() -> None:
    async with exchange() as (desk, leg, _, pair):
        pair._public.exchange.session.bytes_max = 900
        desk.bids = [(Decimal(149) - Decimal(n) / 100, Decimal(1)) for n in range(100)]
        with pytest.raises(ExchangeUnavailable, match="more than 900 bytes"):
            await leg.look()


async def test_no_secret_and_no_signature_is_ever_said() -> None:
    async with exchange() as (desk, leg, clock, pair):
        desk.faults["order"].append("unsent")
        with pytest.raises(ExchangeUnavailable) as found:
            await leg.send(attempt(clock, 10 * SOL, 1_490 * USDC))
        said = f"{found.value} {pair._section!r}"
    assert SECRET not in said
    assert KEY not in said
    assert "signature" not in said


@pytest.mark.parametrize(
    ("changes", "symbol", "said"),
    [({"id": "nowhere"}, "SOL/USDC", "knows no exchange"), ({}, "DOG/USDC", "trades no spot market")],
)
async def test_an_exchange_or_a_pair_that_is_not_there_is_named(
    changes: dict[str, str], symbol: str, said: str
) -> None:
    clock = SteppedClock()
    async with ExchangeDesk.serving(lambda: clock.now_ns() // 10**6) as desk:
        with pytest.raises(InvalidInput, match=said):
            async with ExchangePair.connect(section(desk.url, **changes), symbol, (9, 6), clock):
                raise NotImplementedError


async def test_a_wrong_key_is_refused_by_name() -> None:
    async with exchange(secret=SecretStr("another")) as (_, leg, _, _):
        with pytest.raises(ExchangeRefused) as found:
            await leg.look()
    assert found.value.reason == "key"


def test_the_name_of_an_order_follows_from_its_key_alone() -> None:
    assert order_name("t1:first:0") == order_name("t1:first:0") != order_name("t1:first:1")
    assert len(order_name("t1")) == 32


@pytest.mark.parametrize(
    ("name", "value"), [("LOST_AFTER_S", "1"), ("BASE_URL", "ftp://x"), ("ID", "Binance!"), ("TAKER_PPM", "-1")]
)
def test_a_setting_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises((InvalidInput, ValidationError), match="TRADING_EXCHANGE"):
        load({f"TRADING_EXCHANGE__{name}": value})
