"""What legs on chains say of a wallet, and of an attempt whose time is over while it still waits for its turn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.market_server import SteppedClock

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.arbitrage.evm_leg import EvmLeg, EvmLegParts, EvmLegTerms
from trading.arbitrage.evm_ports import PoolSeen
from trading.arbitrage.pools import ConstantProduct
from trading.arbitrage.solana_leg import SolanaLeg, SolanaParts, SolanaTerms
from trading.arbitrage.trips import Attempt, Dead, Phase
from trading.errors import RouteRefused, Unavailable
from trading.model.chain import AccountSeen, SwapOffer, SwapWanted
from trading.model.evm import (
    BlockSeen,
    EvmIntent,
    EvmKind,
    EvmMandate,
    EvmRecord,
    EvmSettlement,
    EvmState,
    PoolKind,
    PoolRef,
)
from trading.model.intent import SOL_MINT, Intent, IntentRecord, IntentState
from trading.runtime.arbitrage_venues import ArmedWhole

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
WALLET, USDC = "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
NS = 10**9


class Taker:
    """Takes intents into the journal and never signs one."""

    def __init__(self, journal: SqlExecutionJournal) -> None:
        self.journal = journal

    async def take(self, intent: Intent) -> IntentRecord:
        return self.journal.open(intent)

    async def cancel(self, intent_id: str) -> IntentRecord:
        self.journal.ask_to_cancel(intent_id)
        self.journal.ended(intent_id, IntentState.CANCELLED, "asked for")
        return self.journal.record(intent_id)


class Accounts:
    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        wallet = AccountSeen(WALLET, "1" * 32, 5 * NS, b"", False, 1)
        return {each: wallet if each == WALLET else None for each in addresses}


class Router:
    """Gives a hundredth less than a price of one, up to a size."""

    name = "router"

    def __init__(self, most: int = 10**12) -> None:
        self.most = most

    async def offer(self, wanted: SwapWanted) -> SwapOffer:
        if wanted.amount_in > self.most:
            raise RouteRefused("too large", reason="no_route")
        return SimpleNamespace(out_units=wanted.amount_in * 99 // 100)  # type: ignore[return-value]


def solana(folder: Path, router: Router) -> tuple[SolanaLeg, SqlExecutionJournal, SteppedClock]:
    clock = SteppedClock()
    journal = SqlExecutionJournal.at(folder / "execution.db", clock.now_ns)
    parts = SolanaParts(Taker(journal), journal, Accounts(), router, clock)  # type: ignore[arg-type]
    terms = SolanaTerms(WALLET, SOL_MINT, USDC, (NS // 10, NS, 10 * NS), 100_000, keep_lamports=NS)
    return SolanaLeg("solana", parts, terms), journal, clock


def attempt(clock: Any, phase: Phase = Phase.FIRST, lives_s: int = 0) -> Attempt:
    return Attempt(f"t:{phase}:0", phase, "x", NS, 1, clock.now_ns() + lives_s * NS)


async def test_no_trip_is_looked_for_in_a_wallet_that_is_halted(tmp_path: Path) -> None:
    leg, journal, _ = solana(tmp_path, Router())
    assert (await leg.look()).money_free > 0
    journal.halt(WALLET, "the chain and our books differ", {})
    with pytest.raises(Unavailable, match="halted: the chain and our books differ"):
        await leg.look()
    journal.close()


async def test_what_waits_for_its_turn_when_its_time_is_over_is_taken_back(tmp_path: Path) -> None:
    leg, journal, clock = solana(tmp_path, Router())
    wanted = attempt(clock)
    assert await leg.send(wanted) is None
    assert await leg.ask(wanted) is None  # its time is not over yet, to the nanosecond
    clock.advance(1)
    assert await leg.ask(wanted) == Dead(wanted.key, 0, clock.now_ns())
    known = journal.by_key(wanted.key)
    assert known is not None
    assert known.state is IntentState.CANCELLED
    journal.close()


async def test_what_open_intents_may_take_and_what_stays_is_not_free(tmp_path: Path) -> None:
    leg, journal, clock = solana(tmp_path, Router())
    assert (await leg.look()).money_free == 4 * NS
    await leg.send(attempt(clock))
    assert (await leg.look()).money_free == 3 * NS - 100_000
    journal.close()


async def test_sizes_that_have_no_route_are_left_out_and_none_at_all_is_said(tmp_path: Path) -> None:
    leg, journal, _ = solana(tmp_path, Router(most=NS))
    look = await leg.look()
    assert look.there.quote(NS) == NS * 99 // 100
    assert look.there.quote(NS + 1) is None
    leg, journal_2, _ = solana(tmp_path / "2", Router(most=1))
    with pytest.raises(RouteRefused, match="too large"):
        await leg.look()
    journal.close()
    journal_2.close()


POOL = PoolRef("0x" + "aa" * 20, PoolKind.CONSTANT_PRODUCT, "0x" + "01" * 20, "0x" + "02" * 20, 3_000)
MANDATE = EvmMandate(
    1, "0x" + "cc" * 20, "0x" + "dd" * 20, (POOL,), {POOL.token_0: 700}, {POOL.token_0: 1_000, POOL.token_1: 10}, 1
)


class Chain:
    """As much of reader, holdings and journal as a look needs."""

    def __init__(self, clock: SteppedClock) -> None:
        now_ns = clock.now_ns()
        usual = EvmIntent("i", "k", MANDATE.account, POOL, POOL.token_0, POOL.token_1, 100, 1, 1, 1, now_ns, now_ns)
        allowing = replace(usual, kind=EvmKind.ALLOW, amount_in=10**6)
        self.open = [EvmRecord(usual, EvmState.PENDING), EvmRecord(allowing, EvmState.OPEN)]
        self.given_units = 0
        self.has_wei, self.problem = 2, ""
        self.known: dict[str, EvmRecord] = {}

    def by_key(self, key: str) -> EvmRecord | None:
        return self.known.get(key)

    async def read(self, ref: PoolRef) -> PoolSeen:
        return PoolSeen(ref, BlockSeen(1, "", "", 1, 1), ConstantProduct(10**9, 10**9, 3_000))

    async def wei(self, _account: str) -> int:
        return self.has_wei

    def halted(self, _account: str) -> str:
        return self.problem

    async def balances(self, _account: str, _tokens: Sequence[str]) -> tuple[int, ...]:
        return 600, 10**9

    def unfinished(self, _account: str) -> Sequence[EvmRecord]:
        return self.open

    def given(self, _account: str, token: str, _since_ns: int) -> int:
        return self.given_units if token == POOL.token_0 else 0


async def test_what_is_free_on_an_evm_chain_is_held_and_not_promised_and_has_a_price_within_the_mandate() -> None:
    clock = SteppedClock()
    chain: Any = Chain(clock)
    parts = EvmLegParts(chain, chain, chain, chain, MANDATE, clock)
    leg = EvmLeg("evm", parts, EvmLegTerms(POOL, True, 1, 10, Fraction(1, 3)))
    look = await leg.look()
    assert (look.money_free, look.middle_free) == (500, 10**9)
    assert look.there.quote(700) is not None
    assert (look.there.quote(701), look.back.quote(1)) == (None, None)  # token 1 may not be given at all
    assert look.there.attempt_cost == 4
    chain.given_units = 900
    there = (await leg.look()).there
    assert there.quote(100) is not None
    assert there.quote(101) is None
    chain.open = []
    assert (await leg.look()).money_free == 600


async def test_gas_is_counted_at_the_newest_base_fee_where_that_is_more_than_usual() -> None:
    clock = SteppedClock()
    chain: Any = Chain(clock)
    parts = EvmLegParts(chain, chain, chain, chain, MANDATE, clock)
    look = await EvmLeg("evm", parts, EvmLegTerms(POOL, True, 1, 10, Fraction(1, 3), gas=99)).look()
    assert (look.there.attempt_cost, look.back.attempt_cost) == (33, 33)


async def test_an_account_that_is_halted_or_cannot_pay_for_gas_is_left_out_and_says_why() -> None:
    clock = SteppedClock()
    chain: Any = Chain(clock)
    parts = EvmLegParts(chain, chain, chain, chain, MANDATE, clock)
    leg = EvmLeg("evm", parts, EvmLegTerms(POOL, True, 1, 10, Fraction(1, 3)))
    chain.has_wei = 1
    with pytest.raises(RouteRefused, match="has 1 wei, and a swap with its allowance may be charged 2"):
        await leg.look()
    chain.problem = "somebody else has the key"
    with pytest.raises(RouteRefused, match="is halted: somebody else has the key"):
        await leg.look()


async def test_what_an_attempt_cost_is_told_only_when_what_its_allowance_charged_is_known() -> None:
    clock = SteppedClock()
    chain: Any = Chain(clock)
    leg = EvmLeg(
        "evm", EvmLegParts(chain, chain, chain, chain, MANDATE, clock), EvmLegTerms(POOL, True, 1, 10, Fraction(1))
    )
    wanted = attempt(clock)
    clock.advance(60)
    swap = replace(chain.open[0].intent, key=wanted.key)
    allowing = replace(swap, key=f"{wanted.key}/allow", kind=EvmKind.ALLOW)
    chain.known[swap.key] = EvmRecord(swap, EvmState.FAILED, problem="the deadline passed")
    chain.known[allowing.key] = EvmRecord(allowing, EvmState.LANDED)
    assert await leg.ask(wanted) is None
    charged = EvmSettlement("i", "0x", 1, "0x", 0, 0, 7, 0)
    chain.known[allowing.key] = EvmRecord(allowing, EvmState.CONFIRMED, settlement=charged)
    assert await leg.ask(wanted) == Dead(wanted.key, 7, clock.now_ns())


class Both:
    name, fits = "usdc/whole", True

    async def send(self, attempt: Attempt) -> Any:
        return ("sent", attempt.key)


async def test_both_legs_at_once_are_sent_only_while_armed() -> None:
    clock, problems = SteppedClock(), ["disarmed"]

    async def problem() -> str:
        return problems[0]

    whole = ArmedWhole(Both(), problem, clock)  # type: ignore[arg-type]
    wanted = attempt(clock)
    assert await whole.send(wanted) == Dead(wanted.key, 0, clock.now_ns())
    problems[0] = ""
    assert await whole.send(wanted) == ("sent", wanted.key)
    assert (whole.fits, whole.name) == (True, "usdc/whole")
