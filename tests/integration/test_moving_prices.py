"""A pool that moves while a swap is under way: before it is signed, and when it is too late to change anything."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from solders.keypair import Keypair
from tests.support.live_stage import LiveStage, at_work, decided, journal_at, live_stage

from trading.model.chain import SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT, IntentState
from trading.ports import SwapRouter
from trading.rehearsal.faults import FOREVER, Fault, Kind

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

SOL = 10**9


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def move(stage: LiveStage, router: SwapRouter, other: Keypair) -> None:
    """Let somebody buy a tenth of the pool: the price rises by far more than anybody's slippage."""
    offer = await router.offer(SwapWanted(str(other.pubkey()), SOL_MINT, stage.market.frog, 100 * SOL, 3_000))
    assert stage.market.carry_out(other, offer) is None


class MovingRouter:
    """Lets the pool move after each offer that it gives."""

    def __init__(self, stage: LiveStage, router: SwapRouter, other: Keypair) -> None:
        self._stage, self._router, self._other = stage, router, other
        self.asked: list[SwapWanted] = []

    async def offer(self, wanted: SwapWanted) -> SwapOffer:
        self.asked.append(wanted)
        offer = await self._router.offer(wanted)
        await move(self._stage, self._router, self._other)
        return offer


async def test_a_pool_that_moves_after_the_offer_is_seen_before_anything_is_signed(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet, other = stage.wallet(), stage.market.wallet(2_000 * SOL)
        parts = stage.preparer._parts
        router = MovingRouter(stage, parts.router, other)
        stage.preparer._parts = replace(parts, router=router)
        before = stage.lamports(wallet)
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            wish = stage.buying(wallet, SOL, "one")
            [known] = await decided(executor, journal, [wish])
        assert known.state is IntentState.FAILED
        assert known.attempts == ()
        assert stage.signer.signed == []
        assert stage.lamports(wallet) == before
        assert len(router.asked) == 1  # nothing is asked for until it fits
        assert max(each.slippage_bps for each in router.asked) <= wish.slippage_bps_max


async def test_a_swap_that_fails_on_chain_is_no_success_costs_its_fee_and_is_not_repeated(tmp_path: Path) -> None:
    async with live_stage() as stage, journal_at(tmp_path / "execution.db") as journal:
        wallet, other = stage.wallet(), stage.market.wallet(2_000 * SOL)
        for endpoint in stage.market.rehearsal.endpoints.values():
            endpoint.faults.add(Fault(Kind.DELAY, calls=FOREVER, slots=20))
        router, honest = stage.preparer._parts.router, stage.chain.send
        moved = False

        async def send(raw: bytes, *, is_first: bool) -> str:
            nonlocal moved
            signature = await honest(raw, is_first=is_first)  # it was fine when it was looked at
            if not moved:
                moved = True
                await move(stage, router, other)
            return signature

        stage.chain.send = send  # type: ignore[method-assign]
        before = stage.lamports(wallet)
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            with anyio.fail_after(30):
                [known] = await decided(executor, journal, [stage.buying(wallet, SOL, "one")])
        assert known.state is IntentState.REVERTED, known.problem
        assert known.settlement is not None
        assert "6001" in known.settlement.error
        assert known.settlement.out_units == 0
        assert stage.lamports(wallet) == before - known.settlement.fee_lamports
        assert stage.units(wallet) == 0
        assert len(known.attempts) == len(stage.market.cluster.history(wallet)) == 1
        assert journal.reserved(wallet) == {}
