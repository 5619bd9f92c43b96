"""Nodes that are slow, lag, lie or lose answers, and a process that dies at any step: one swap, told as it was."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.evm import Evm, Liar, evm_running, lying, nodes_of
from tests.support.evm_stage import EvmStage, staged

from trading.adapters.evm.journal import SqlEvmJournal
from trading.errors import ChainUnavailable, JournalUnavailable, WrongChain
from trading.model.evm import EvmState, PoolKind

pytestmark = pytest.mark.anyio
LEG = "evm-leg-1"


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
async def lied_to(
    evm: Evm, folder: Path, *, beside_truth: bool = False, timeout_s: float = 20.0
) -> AsyncIterator[tuple[EvmStage, Liar]]:
    """A swap that may be made, through one node that lies, beside a true one where it is wished."""
    async with lying(evm) as liar:
        urls = (evm.url, liar.url) if beside_truth else (liar.url,)
        async with staged(evm, folder, *urls, timeout_s=timeout_s) as stage:
            stage.allow(10**18)
            yield stage, liar


async def test_a_slow_node_is_not_waited_for_longer_than_allowed(evm: Evm, tmp_path: Path) -> None:
    async with lied_to(evm, tmp_path, timeout_s=1.0) as (stage, liar):
        await stage.executor.take(stage.intent())
        liar.delay_s = 5.0
        with pytest.raises(ChainUnavailable, match=r"no answer within 1 s"):
            await stage.executor.step(LEG)
        assert stage.journal.record(LEG).state is EvmState.OPEN
        liar.delay_s = 0.0
        assert (await stage.until(LEG)).state is EvmState.CONFIRMED


async def test_a_node_that_becomes_another_chain_after_a_restart_is_refused(evm: Evm) -> None:
    async with lying(evm) as liar:
        liar.answer = lambda method, _params, result: "0x2105" if method == "eth_chainId" else result
        with pytest.raises(WrongChain, match="of another one are: node-2"):
            async with nodes_of(evm.url, liar.url):
                pass


async def test_a_node_that_lags_makes_nobody_sign_a_nonce_twice(evm: Evm, tmp_path: Path) -> None:
    async with lied_to(evm, tmp_path) as (stage, liar):
        before = stage.holdings()
        assert (await stage.carried(stage.intent())).state is EvmState.CONFIRMED
        liar.answer = lambda method, _params, result: "0x1" if method == "eth_getTransactionCount" else result
        stage.allow(10**18)
        await stage.executor.take(stage.intent("leg-2"))
        with pytest.raises(ChainUnavailable, match="a node says that 1 transactions of"):
            await stage.executor.step("evm-leg-2")
        assert stage.journal.record("evm-leg-2").attempts == ()
        assert stage.holdings()[0] == before[0] - 10**18


async def test_a_receipt_of_something_else_is_no_receipt(evm: Evm, tmp_path: Path) -> None:
    async with lied_to(evm, tmp_path) as (stage, liar):
        await stage.executor.take(stage.intent())
        await stage.executor.step(LEG)
        stage.evm.mine()

        def another(method: str, _params: list[Any], result: Any) -> Any:
            return result | {"transactionHash": "0x" + "5" * 64} if method == "eth_getTransactionReceipt" else result

        liar.answer = another
        with pytest.raises(ChainUnavailable, match="and gave that of 0x5555"):
            await stage.executor.step(LEG)
        assert stage.journal.record(LEG).state is EvmState.PENDING


@pytest.mark.parametrize("lie", [{"status": "0x0"}, {"logs": []}, None])
async def test_two_nodes_that_contradict_each_other_prove_nothing(evm: Evm, tmp_path: Path, lie: Any) -> None:
    async with lied_to(evm, tmp_path, beside_truth=True) as (stage, liar):
        await stage.executor.take(stage.intent())
        await stage.executor.step(LEG)
        stage.evm.mine()

        def differently(method: str, _params: list[Any], result: Any) -> Any:
            if method != "eth_getTransactionReceipt" or result is None:
                return result
            return None if lie is None else result | lie

        liar.answer = differently
        with pytest.raises(ChainUnavailable, match="contradict each other"):
            await stage.executor.step(LEG)
        assert stage.journal.record(LEG).state is EvmState.PENDING
        liar.answer = lambda _method, _params, result: result
        assert (await stage.until(LEG)).state is EvmState.CONFIRMED


async def test_a_success_without_the_swap_in_its_logs_is_for_a_person(evm: Evm, tmp_path: Path) -> None:
    async with lied_to(evm, tmp_path) as (stage, liar):
        await stage.executor.take(stage.intent())

        def silent(method: str, _params: list[Any], result: Any) -> Any:
            return result | {"logs": []} if method == "eth_getTransactionReceipt" and result else result

        liar.answer = silent
        done = await stage.until(LEG)
        assert done.state is EvmState.NEEDS_REVIEW
        assert "its logs tell of 0 given and 0 got in 0 swaps" in done.problem
        assert stage.journal.halted(stage.mandate.account) == done.problem


async def test_the_fee_of_the_chain_below_is_part_of_what_a_swap_cost(evm: Evm, tmp_path: Path) -> None:
    async with lied_to(evm, tmp_path) as (stage, liar):
        fee_wei = 123_456_789_012

        def charging(method: str, _params: list[Any], result: Any) -> Any:
            return result | {"l1Fee": hex(fee_wei)} if method == "eth_getTransactionReceipt" and result else result

        liar.answer = charging
        before = stage.holdings()[2]
        done = await stage.carried(stage.intent())
        assert done.settlement is not None
        assert done.settlement.l1_fee_wei == fee_wei
        assert done.settlement.fee_wei == before - stage.holdings()[2] + fee_wei


async def test_an_answer_that_is_lost_after_the_node_took_the_bytes_makes_no_second_swap(
    evm: Evm, tmp_path: Path
) -> None:
    async with lied_to(evm, tmp_path) as (stage, liar):
        before = stage.holdings()
        liar.fails_after = {"eth_sendRawTransaction"}
        done = await stage.carried(stage.intent())
        assert (done.state, len(done.attempts)) == (EvmState.CONFIRMED, 1)
        assert stage.holdings()[0] == before[0] - 10**18


async def test_a_node_that_freezes_its_newest_block_confirms_nothing(evm: Evm, tmp_path: Path) -> None:
    async with lied_to(evm, tmp_path) as (stage, liar):
        frozen = stage.evm.rpc("eth_getBlockByNumber", "latest", False)

        def still(method: str, params: list[Any], result: Any) -> Any:
            return frozen if method == "eth_getBlockByNumber" and params[0] == "latest" else result

        await stage.executor.take(stage.intent())
        await stage.executor.step(LEG)
        liar.answer = still
        stage.evm.mine(10)
        for _ in range(4):
            await stage.executor.step(LEG)
        assert stage.journal.record(LEG).state is EvmState.LANDED
        liar.answer = lambda _method, _params, result: result
        assert (await stage.until(LEG)).state is EvmState.CONFIRMED


@pytest.mark.parametrize("nonsense", [None, "0x", 7, {"number": "0x1"}, {"hash": "0x12"}, "0x" + "ff" * 300_000])
async def test_an_answer_that_makes_no_sense_is_no_answer(evm: Evm, tmp_path: Path, nonsense: Any) -> None:
    async with lied_to(evm, tmp_path) as (stage, liar):
        liar.answer = lambda method, _params, result: result if method == "eth_chainId" else nonsense
        await stage.executor.take(stage.intent())
        with pytest.raises(ChainUnavailable):
            await stage.executor.step(LEG)
        with pytest.raises(ChainUnavailable):
            await stage.nodes.head()
        assert stage.journal.record(LEG).state is EvmState.OPEN


class Killed(BaseException):
    """The process is gone."""


class Dying:
    """A body of a port that dies once at one call, before or after its effect."""

    def __init__(self, inner: Any, method: str, *, is_after: bool) -> None:
        self._inner = inner
        self._method = method
        self._is_after = is_after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found
        if name == "send":

            async def send(raw: bytes) -> None:
                if self._is_after:
                    await found(raw)
                raise Killed

            return send

        def write(*args: Any) -> Any:
            if self._is_after:
                found(*args)
            raise Killed

        return write


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["signed", "send", "landed", "settled"])
async def test_a_process_killed_at_any_step_goes_on_with_the_one_swap(
    evm: Evm, tmp_path: Path, method: str, is_after: bool
) -> None:
    async with staged(evm, tmp_path) as stage:
        stage.allow(10**18)
        before, quoted = stage.holdings(), await stage.quoted(PoolKind.CONCENTRATED, 10**18)
        first_nonce = int(evm.rpc("eth_getTransactionCount", stage.mandate.account, "latest"), 16)
        await stage.executor.take(stage.intent(min_out=quoted))
        part = "chain" if method == "send" else "journal"
        inner = stage.nodes if part == "chain" else stage.journal
        dying = stage.rebuilt(**{"journal": stage.journal, part: Dying(inner, method, is_after=is_after)})
        with pytest.raises(Killed):
            await dying.until(LEG)
        again = stage.rebuilt()
        done = await again.until(LEG)
        assert done.state is EvmState.CONFIRMED
        assert done.settlement is not None
        assert done.settlement.amount_out == quoted
        assert len({each.nonce for each in done.attempts}) == 1
        evm.mine(3)
        after = stage.holdings()
        assert (before[0] - after[0], after[1] - before[1]) == (10**18, quoted)
        assert int(evm.rpc("eth_getTransactionCount", stage.mandate.account, "pending"), 16) == first_nonce + 1


async def test_whoever_opened_the_journal_before_may_not_write_any_more(evm: Evm, tmp_path: Path) -> None:
    async with staged(evm, tmp_path) as stage:
        newer = SqlEvmJournal.at(stage.path, stage.clock.now_ns)
        with pytest.raises(JournalUnavailable, match="opened by another process"):
            await stage.executor.take(stage.intent())
        assert newer.open(stage.intent()).state is EvmState.OPEN


async def test_the_machine_runs_by_itself_and_takes_up_what_was_left(evm: Evm, tmp_path: Path) -> None:
    async with staged(evm, tmp_path) as stage:
        evm.rpc("evm_setIntervalMining", 1)
        left = stage.intent()
        stage.journal.open(left)
        async with anyio.create_task_group() as tasks:
            await tasks.start(stage.executor.run)
            await stage.executor.take(stage.intent("leg-2", kind=PoolKind.CONSTANT_PRODUCT))
            with anyio.fail_after(20):
                for intent_id in (LEG, "evm-leg-2"):
                    while stage.journal.record(intent_id).state is not EvmState.CONFIRMED:
                        evm.mine()
                        await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        evm.rpc("evm_setIntervalMining", 0)
