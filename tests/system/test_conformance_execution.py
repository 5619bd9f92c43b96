"""The executor's whole life on a node that is not ours, with faults in front of it; what it does on the rehearsal chain
is what it does there."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from tests.support.foreign_stage import ForeignStage, foreign_stage
from tests.support.live_stage import at_work, decided, journal_at
from tests.support.nodes import our_node, surfpool_node

from trading.model.intent import IntentRecord, IntentState
from trading.rehearsal.faults import FOREVER, Fault, Kind

pytestmark = [pytest.mark.anyio, pytest.mark.system, pytest.mark.requirement("T10")]

SOL = 10**9
RENT = 2_039_280
FAULTS = {
    "answer lost": (Fault(Kind.LOST, ("sendTransaction",), calls=2),),
    "dropped": (Fault(Kind.DROP, calls=2),),
    "late": (Fault(Kind.DELAY, slots=40),),
    "429": (Fault(Kind.TOO_MANY, ("sendTransaction", "getTransaction"), calls=2, retry_after_s=0.05),),
    "html": (Fault(Kind.BROKEN, ("getSignatureStatuses",), calls=2),),
    "error without data": (Fault(Kind.ERROR, ("sendTransaction", "getTransaction"), calls=2, code=-32002),),
    "dead fork": (Fault(Kind.FORK, slots=20),),
}

NOT_OURS = pytest.mark.parametrize("stage", [surfpool_node], ids=["surfpool"], indirect=True)
"""What the rehearsal chain is put through elsewhere (integration/test_execution.py)."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[our_node, surfpool_node], ids=["ours", "surfpool"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[ForeignStage]:
    async with foreign_stage(request.param, wallets=len(FAULTS)) as made:
        yield made


def spent(known: IntentRecord) -> int:
    """Return what a settled buy took of the wallet's lamports."""
    settled = known.settlement
    assert settled is not None
    return settled.in_units + settled.fee_lamports + settled.tip_lamports + settled.rent_lamports


async def test_a_buy_and_a_sale_live_to_the_end_and_are_booked_to_the_lamport(
    stage: ForeignStage, tmp_path: Path
) -> None:
    wallet = stage.wallets[0]
    async with journal_at(tmp_path / "execution.db") as journal:
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            before = await stage.lamports(wallet)
            [bought] = await decided(executor, journal, [await stage.buying(wallet, SOL, "buy")])
            assert bought.state is IntentState.SETTLED, bought.problem
            assert bought.settlement is not None
            assert (bought.settlement.in_units, bought.settlement.rent_lamports) == (SOL, RENT)
            assert bought.settlement.out_units == bought.attempts[-1].quoted_out
            assert await stage.lamports(wallet) == before - spent(bought)
            assert await stage.units(wallet) == bought.settlement.out_units
            held = await stage.lamports(wallet)
            wished = await stage.selling(wallet, await stage.units(wallet), "sell")
            [sold] = await decided(executor, journal, [wished])
        assert sold.state is IntentState.SETTLED, sold.problem
        assert sold.settlement is not None
        assert await stage.lamports(wallet) == held + sold.settlement.out_units - sold.settlement.fee_lamports
        assert await stage.units(wallet) == 0
        assert journal.reserved(wallet) == {}
        steps = [event.kind for event in journal.events() if event.kind != "expired"]
        assert steps[0] == "opened"
        assert [kind for kind in steps if kind != "signed"] == ["opened", "landed", "settled"] * 2
    signatures = [each.settlement.signature for each in (bought, sold) if each.settlement]
    assert await stage.history(wallet) == signatures[::-1]


@NOT_OURS
async def test_an_attempt_that_ran_out_is_proven_dead_before_the_next_is_signed(
    stage: ForeignStage, tmp_path: Path
) -> None:
    wallet = stage.wallets[0]
    async with journal_at(tmp_path / "execution.db") as journal:
        executor = stage.executor(journal)
        async with at_work(executor, [wallet]):
            stage.fault(Fault(Kind.DROP, calls=FOREVER))
            intent = await stage.buying(wallet, SOL, "one")
            await executor.take(intent)
            with anyio.fail_after(30):
                while not any(event.kind == "expired" for event in journal.events()):  # noqa: ASYNC110 - a database
                    await anyio.sleep(0.02)
            assert await stage.history(wallet) == []
            stage.clear()
            [known] = await decided(executor, journal, [intent])
        assert known.state is IntentState.SETTLED, known.problem
        states = [each.state.value for each in known.attempts]
        assert states == ["expired"] * (len(states) - 1) + ["settled"]
        assert len(states) >= 2
    assert await stage.history(wallet) == [known.attempts[-1].signature]


@NOT_OURS
async def test_whatever_stands_between_them_there_is_one_swap(stage: ForeignStage, tmp_path: Path) -> None:
    async with journal_at(tmp_path / "execution.db") as journal:
        executor = stage.executor(journal)
        async with at_work(executor, stage.wallets):
            for wallet, (name, faults) in zip(stage.wallets, FAULTS.items(), strict=True):
                before = await stage.lamports(wallet)
                stage.fault(*faults)
                [known] = await decided(executor, journal, [await stage.buying(wallet, SOL // 10, name)])
                stage.clear()
                assert known.state is IntentState.SETTLED, (name, known.problem)
                assert await stage.lamports(wallet) == before - spent(known), name
                assert await stage.history(wallet) == [known.attempts[-1].signature], name
        met = {name for proxy in stage.proxies for name in proxy.faults.met}
    kinds = {fault.kind.value for faults in FAULTS.values() for fault in faults}
    assert {name.split()[0] for name in met} == kinds
