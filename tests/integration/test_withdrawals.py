"""Withdrawals from a loopback exchange: asked for once, to one address, while armed, and there only by proof."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.integration.test_exchange import section
from tests.support.exchange_desk import ExchangeDesk, Fault
from tests.support.market_server import SteppedClock, address

from trading.adapters.exchange.gateway import ExchangePair
from trading.adapters.exchange.withdrawals import Coin, ExchangeWithdrawals, WithdrawalRules
from trading.adapters.transfer_journal import SqlTransferJournal
from trading.arbitrage.carrier import CarrierRules, Split, TransferCarrier
from trading.arbitrage.transfers import TransferState
from trading.model.chain import TokenBalance, TransactionSeen

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
WALLET, USDC = address("Wallet"), address("Usdc")
SOL = 10**9
HELD = {"usdc/exchange": 90 * SOL, "usdc/solana": 10 * SOL}
SPLIT = Split("usdc", {"usdc/exchange": 5_000, "usdc/solana": 5_000}, 1_000)


@dataclass
class Chain:
    """What is finalized."""

    seen: dict[str, TransactionSeen] = field(default_factory=dict)

    async def transaction(self, signature: str) -> TransactionSeen | None:
        return self.seen.get(signature)

    def pays(self, signature: str, lamports: int = 0, units: int = 0, error: str = "") -> None:
        held = (TokenBalance("account", WALLET, USDC, None, units),) if units else ()
        moved = {WALLET: (5, 5 + lamports)}
        self.seen[signature] = TransactionSeen(signature, 7, 1, error, "payer", moved, held)


@dataclass
class Stage:
    desk: ExchangeDesk
    clock: SteppedClock
    chain: Chain
    journal: SqlTransferJournal
    door: ExchangeWithdrawals
    problem: str = ""

    def carrier(self) -> TransferCarrier:
        doors = {("usdc/exchange", "usdc/solana"): self.door}
        return TransferCarrier(
            self.journal, doors, CarrierRules(late_s=1_200), self.clock, lambda _b, _a: None, self.clock.sleep
        )

    async def looked(self) -> TransferState:
        await self.carrier().look()
        return self.journal.page(1)[0].transfer.state


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    clock, chain = SteppedClock(), Chain()
    journal = SqlTransferJournal.at(folder / "transfers.db")
    coins = {"money": Coin("SOL", "SOL", "", 9, 50 * SOL), "middle": Coin("USDC", "SOL", USDC, 6, 900_000_000)}
    async with ExchangeDesk.serving(lambda: clock.now_ns() // 10**6) as desk:
        given = section(desk.url, timeout_s=0.5)
        async with ExchangePair.connect(given, "SOL/USDC", (9, 6), clock) as pair:
            rules = WithdrawalRules("binance", WALLET, coins, lambda: stage.problem, ask_every_s=0)  # type: ignore[arg-type]
            door = ExchangeWithdrawals(lambda: pair.private, chain, rules, clock)
            stage = Stage(desk, clock, chain, journal, door)
            yield stage
    journal.close()


async def test_a_withdrawal_leaves_when_it_is_named_and_is_there_when_the_chain_shows_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert await stage.carrier().plan(SPLIT, "money", HELD) is not None
        assert await stage.looked() is TransferState.SENT
        [row] = stage.desk.withdrawn
        assert (row["address"], row["network"], Decimal(row["amount"])) == (WALLET, "SOL", Decimal(40))
        assert await stage.looked() is TransferState.SENT
        row["txId"], row["status"] = "sig", 6
        assert await stage.looked() is TransferState.ON_ITS_WAY
        stage.chain.pays("sig", 39_999_000_000)
        assert await stage.looked() is TransferState.ARRIVED
        assert stage.journal.page(1)[0].transfer.received == 39_999_000_000
        assert len(stage.desk.withdrawn) == 1


@pytest.mark.parametrize("fault", ["lost", "broken", "garbage"])
async def test_one_whose_answer_was_lost_is_searched_by_its_name_and_not_asked_for_again(
    tmp_path: Path, fault: Fault
) -> None:
    async with staged(tmp_path) as stage:
        stage.desk.faults["withdraw"].append(fault)
        await stage.carrier().plan(SPLIT, "middle", {"usdc/exchange": 900_000_000, "usdc/solana": 0})
        assert await stage.looked() is TransferState.SENT
        stage.desk.withdrawn[0]["txId"] = "sig"
        stage.chain.pays("sig", units=450_000_000)
        assert await stage.looked() is TransferState.ARRIVED
        assert len(stage.desk.withdrawn) == 1


async def test_the_exchange_is_asked_about_a_withdrawal_no_more_often_than_it_allows(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.door._rules = replace(stage.door._rules, ask_every_s=120.0)
        assert await stage.carrier().plan(SPLIT, "money", HELD) is not None
        for _ in range(4):
            await stage.looked()
            stage.clock.advance(5)
        assert stage.desk.calls["withdrawals"] == 1
        stage.clock.advance(120)
        await stage.looked()
        assert stage.desk.calls["withdrawals"] == 2


async def test_one_that_never_came_is_returned_only_when_its_time_is_over(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.desk.faults["withdraw"].append("unsent")
        await stage.carrier().plan(SPLIT, "money", HELD)
        assert await stage.looked() is TransferState.SENT
        stage.clock.advance(800)
        assert await stage.looked() is TransferState.SENT
        stage.clock.advance(101)
        assert await stage.looked() is TransferState.RETURNED
        assert stage.desk.withdrawn == []


async def test_what_is_refused_or_fails_at_the_exchange_is_returned(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.desk.free["SOL"] = Decimal(1)
        await stage.carrier().plan(SPLIT, "money", HELD)
        assert await stage.looked() is TransferState.RETURNED
        stage.desk.free["SOL"] = Decimal(100)
        stage.clock.advance(1)
        await stage.carrier().plan(SPLIT, "money", HELD)
        assert await stage.looked() is TransferState.SENT
        stage.desk.withdrawn[0]["status"] = 5
        assert await stage.looked() is TransferState.RETURNED


async def test_while_nothing_is_armed_nothing_is_asked_for_nor_more_than_the_settings_allow(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.problem = "real money is not armed"
        await stage.carrier().plan(SPLIT, "money", HELD)
        assert await stage.looked() is TransferState.RETURNED
        stage.problem = ""
        stage.clock.advance(1)
        planned = await stage.carrier().plan(SPLIT, "money", {"usdc/exchange": 900 * SOL, "usdc/solana": 0})
        assert planned is not None
        assert planned.transfer.amount == 50 * SOL
        assert stage.desk.calls["withdraw"] == 0


@pytest.mark.parametrize("units", [0, 41 * SOL])
async def test_an_arrival_that_cannot_be_ours_is_not_booked(tmp_path: Path, units: int) -> None:
    async with staged(tmp_path) as stage:
        await stage.carrier().plan(SPLIT, "money", HELD)
        await stage.looked()
        stage.desk.withdrawn[0]["txId"] = "sig"
        stage.chain.pays("sig", units)
        assert await stage.looked() is TransferState.SENT
        stage.chain.pays("sig", 39 * SOL, error="failed")
        assert await stage.looked() is TransferState.ON_ITS_WAY
        stage.clock.advance(1_201)
        assert await stage.looked() is TransferState.LATE  # and a person has to look
