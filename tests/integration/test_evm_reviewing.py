"""A person's answers about swaps on an EVM chain: the chain is followed again, or has the last word."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.support.evm import Evm, evm_running, lying
from tests.support.evm_stage import EvmStage, staged

from trading.errors import InvalidInput
from trading.model.evm import EvmState
from trading.runtime.evm_reviewing import EvmReview

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
ME, WHY = "operator:maria", "compared with the explorer"


@pytest.fixture(scope="module")
def chain() -> Iterator[Evm]:
    with evm_running() as evm:
        yield evm


@pytest.fixture
def evm(chain: Evm) -> Iterator[Evm]:
    with chain.undone():
        chain.rpc("evm_setAutomine", False)
        yield chain


@asynccontextmanager
async def reviewed(stage: EvmStage) -> AsyncIterator[EvmReview]:
    """The review of an account whose executor works by itself, a block every few steps."""

    async def mine() -> None:
        while True:
            await anyio.sleep(0.02)
            await anyio.to_thread.run_sync(stage.evm.mine)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mine)
        await tasks.start(stage.executor.run)
        yield EvmReview(stage.journal, stage.nodes, stage.mandate.account, stage.executor.take_up)
        tasks.cancel_scope.cancel()


async def state_of(stage: EvmStage, intent_id: str, *wanted: EvmState) -> None:
    with anyio.fail_after(20):
        while True:
            if stage.journal.record(intent_id).state in wanted:
                return
            await anyio.sleep(0.02)


def answers(waiting: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {each["id"]: each["answers"] for each in waiting}


async def test_a_swap_that_the_logs_do_not_show_is_over_only_when_its_nonce_is_used_for_good(
    evm: Evm, tmp_path: Path
) -> None:
    async with lying(evm) as liar, staged(evm, tmp_path, liar.url) as stage:
        stage.allow(2 * 10**18)
        account = f"evm-account/{stage.mandate.account}"

        def silent(method: str, _params: list[Any], result: Any) -> Any:
            return result | {"logs": []} if method == "eth_getTransactionReceipt" and result else result

        liar.answer = silent
        await stage.executor.take(stage.intent())
        assert (await stage.until("evm-leg-1")).state is EvmState.NEEDS_REVIEW
        review = EvmReview(stage.journal, stage.nodes, stage.mandate.account, stage.executor.take_up)
        waiting = await review.waiting()
        assert answers(waiting) == {"evm/evm-leg-1": ["go-on", "booked"], account: []}
        [attempt] = stage.journal.record("evm-leg-1").attempts
        assert "its logs tell of 0 given" in waiting[0]["evidence"][0]
        assert attempt.tx_hash in waiting[0]["evidence"][-1]

        for item, given, field in (
            ("evm/evm-leg-1", "booked", "answer"),  # its block may still be taken away
            ("evm/evm-leg-1", "release", "answer"),
            (account, "release", "answer"),
            ("evm/evm-leg-9", "booked", "item"),
        ):
            with pytest.raises(InvalidInput) as refused:
                await review.answer(item, given, ME, WHY)
            assert refused.value.field == field
        assert stage.journal.record("evm-leg-1").state is EvmState.NEEDS_REVIEW

        evm.mine(70)
        with pytest.raises(InvalidInput, match="say what was looked at"):
            await review.answer("evm/evm-leg-1", "booked", ME, "  ")
        await review.answer("evm/evm-leg-1", "booked", ME, WHY)
        assert stage.journal.record("evm-leg-1").state is EvmState.FINALIZED
        kind, body = stage.journal.events()[-1][2:]
        assert (kind, body["actor"]) == ("answered", ME)
        assert f"{WHY} (the chain: {attempt.tx_hash} is in block " in body["reason"]

        assert answers(await review.waiting()) == {account: ["release"]}
        await review.answer(account, "release", ME, WHY)
        assert await review.waiting() == []
        liar.answer = lambda _method, _params, result: result
        assert (await stage.carried(stage.intent("leg-2"))).state is EvmState.CONFIRMED


async def test_swaps_that_vanished_go_on_one_after_the_other_and_are_carried_out_once(evm: Evm, tmp_path: Path) -> None:
    async with staged(evm, tmp_path) as stage:
        evm.rpc("evm_setAutomine", True)
        stage.allow(3 * 10**18)
        evm.rpc("evm_setAutomine", False)
        held, account = stage.holdings()[0], f"evm-account/{stage.mandate.account}"
        with evm.undone():
            assert (await stage.carried(stage.intent())).state is EvmState.CONFIRMED
            await stage.executor.take(stage.intent("leg-2"))
            await stage.executor.step("evm-leg-2")
        evm.rpc("evm_setAutomine", False)
        evm.mine(12)
        await stage.executor.step("evm-leg-1")

        stage.journal.close()
        async with reviewed(stage.rebuilt()) as review:
            assert answers(await review.waiting()) == {
                "evm/evm-leg-1": ["go-on", "booked"],
                "evm/evm-leg-2": [],
                account: [],
            }
            with pytest.raises(InvalidInput, match="evm/evm-leg-2 allows nothing now"):
                await review.answer("evm/evm-leg-2", "go-on", ME, WHY)
            for name in ("evm-leg-1", "evm-leg-2"):
                await review.answer(f"evm/{name}", "go-on", ME, WHY)
                await state_of(stage, name, EvmState.CONFIRMED, EvmState.FINALIZED)
            await review.answer(account, "release", ME, WHY)
            assert await review.waiting() == []
        assert held - stage.holdings()[0] == 2 * 10**18
