"""Swaps on a local EVM through Uniswap's own router: what was wished happens once, exactly, or not at all."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.evm import Evm, evm_running
from tests.support.evm_stage import FEE_WEI_MAX, EvmStage, staged

from trading.adapters.evm.preparing import GAS_ORACLE, FeeTerms, MandatedPreparer
from trading.errors import ChainUnavailable, IllegalTransition, InvalidInput
from trading.model.evm import EvmKind, EvmState, PoolKind
from trading.model.units import NS_PER_S

pytestmark = pytest.mark.anyio
KINDS = list(PoolKind)


@pytest.fixture(scope="module")
def chain() -> Iterator[Evm]:
    with evm_running() as evm:
        yield evm


@pytest.fixture
async def stage(chain: Evm, tmp_path: Path) -> AsyncIterator[EvmStage]:
    with chain.undone():
        chain.rpc("evm_setAutomine", False)
        async with staged(chain, tmp_path) as found:
            yield found


@pytest.mark.requirement("T15")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_swap_gives_what_was_quoted_and_books_every_wei(stage: EvmStage, kind: PoolKind) -> None:
    before, quoted = stage.holdings(), await stage.quoted(kind, 10**18)
    done = await stage.carried(stage.intent(kind=kind, min_out=quoted))
    assert done.state is EvmState.CONFIRMED
    assert done.settlement is not None
    assert (done.settlement.amount_in, done.settlement.amount_out) == (10**18, quoted)
    after, allowing = stage.holdings(), stage.journal.record(_allow_id(stage))
    assert after[0] == before[0] - 10**18
    assert after[1] == before[1] + quoted
    assert allowing.settlement is not None
    assert before[2] - after[2] == done.settlement.fee_wei + allowing.settlement.fee_wei
    used = int(stage.evm.rpc("eth_getTransactionReceipt", done.settlement.tx_hash)["gasUsed"], 16)
    assert done.attempts[0].gas > used + 44_200  # two words more of a pair that is new
    assert await stage.executor._preparer.allowance(done.intent) == 0  # the allowance was exact, and is used up


def _allow_id(stage: EvmStage) -> str:
    (found,) = [each for _, each, kind, body in stage.journal.events() if kind == "opened" and body["kind"] == "allow"]
    return found


async def test_a_confirmed_swap_becomes_final_with_the_chain(stage: EvmStage) -> None:
    stage.allow(10**18)
    done = await stage.carried(stage.intent())
    assert done.state is EvmState.CONFIRMED
    assert not await stage.executor.step(done.intent.id)
    stage.evm.mine(12)
    assert (await stage.until(done.intent.id, frozenset({EvmState.FINALIZED}))).state is EvmState.FINALIZED


async def test_the_same_key_is_the_same_swap(stage: EvmStage) -> None:
    stage.allow(3 * 10**18)
    first = await stage.carried(stage.intent())
    had = stage.holdings()
    again = await stage.executor.take(stage.intent())
    assert again.settlement == first.settlement
    assert stage.holdings() == had
    with pytest.raises(InvalidInput, match="stands for another swap already"):
        await stage.executor.take(stage.intent(amount_in=2 * 10**18))


async def test_bytes_are_durable_before_they_are_sent(stage: EvmStage) -> None:
    stage.allow(10**18)
    seen: list[int] = []

    class Watched:
        """The nodes, and what the journal held at each sending."""

        def __getattr__(self, name: str) -> object:
            return getattr(stage.nodes, name)

        async def send(self, raw: bytes) -> None:
            known = stage.journal.record("evm-leg-1")
            seen.append([each.raw for each in known.attempts].index(raw) + 1)
            await stage.nodes.send(raw)

    done = await stage.rebuilt(chain=Watched(), journal=stage.journal).carried(stage.intent())
    assert done.state is EvmState.CONFIRMED
    assert seen
    assert seen[0] == 1


async def test_a_price_that_moved_away_is_refused_before_anything_is_signed(stage: EvmStage) -> None:
    quoted = await stage.quoted(PoolKind.CONCENTRATED, 10**18)
    stage.allow(10**18)
    stage.evm.swap_pool(10**20, gives_0=True)
    done = await stage.carried(stage.intent(min_out=quoted))
    assert (done.state, done.attempts) == (EvmState.FAILED, ())
    assert done.problem.startswith("route_refused: the pool gives")


async def test_a_price_that_moves_while_the_swap_waits_makes_the_router_refuse_it_and_the_gas_is_booked(
    stage: EvmStage,
) -> None:
    stage.allow(10**18)
    quoted, before = await stage.quoted(PoolKind.CONCENTRATED, 10**18), stage.holdings()
    await stage.executor.take(stage.intent(min_out=quoted))
    await stage.executor.step("evm-leg-1")
    (attempt,) = stage.journal.record("evm-leg-1").attempts
    stage.evm.rpc("anvil_dropTransaction", attempt.tx_hash)
    stage.evm.swap_pool(10**20, gives_0=True)
    done = await stage.until("evm-leg-1")
    after = stage.holdings()
    assert (done.state, len(done.attempts)) == (EvmState.REVERTED, 1)
    assert done.settlement is not None
    assert before[:2] == after[:2]
    assert before[2] - after[2] == done.settlement.fee_wei > 0


async def test_a_dropped_transaction_is_sent_again_as_it_was(stage: EvmStage) -> None:
    stage.allow(10**18)
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    (attempt,) = stage.journal.record("evm-leg-1").attempts
    for _ in range(3):
        stage.evm.rpc("anvil_dropTransaction", attempt.tx_hash)
        stage.evm.mine()
        assert not await stage.executor.step("evm-leg-1")
    done = await stage.until("evm-leg-1")
    assert (done.state, [each.tx_hash for each in done.attempts]) == (EvmState.CONFIRMED, [attempt.tx_hash])


async def test_one_that_waits_too_long_is_replaced_by_dearer_bytes_of_the_same_nonce(stage: EvmStage) -> None:
    stage.allow(10**18)
    before = stage.holdings()
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    for _ in range(5):
        stage.clock.ahead_s += 11
        await stage.executor.step("evm-leg-1")
    attempts = stage.journal.record("evm-leg-1").attempts
    assert len(attempts) == 4  # attempts_max
    assert len({each.nonce for each in attempts}) == 1
    assert all(b.tip_wei * 10 >= a.tip_wei * 11 for a, b in pairwise(attempts))
    assert all(each.gas * each.max_fee_wei <= FEE_WEI_MAX for each in attempts)
    done = await stage.until("evm-leg-1")
    assert done.settlement is not None
    assert done.settlement.tx_hash == attempts[-1].tx_hash
    assert stage.holdings()[0] == before[0] - 10**18


async def test_an_older_attempt_that_lands_after_all_is_the_swap(stage: EvmStage) -> None:
    stage.allow(10**18)
    before = stage.holdings()
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    stage.clock.ahead_s += 11
    await stage.executor.step("evm-leg-1")
    older, newer = stage.journal.record("evm-leg-1").attempts
    stage.evm.rpc("anvil_dropTransaction", newer.tx_hash)
    stage.evm.rpc("eth_sendRawTransaction", "0x" + older.raw.hex())
    stage.evm.mine()
    done = await stage.until("evm-leg-1")
    assert done.settlement is not None
    assert done.settlement.tx_hash == older.tx_hash
    assert stage.holdings()[0] == before[0] - 10**18


async def test_a_cancelled_swap_uses_up_its_nonce_and_nothing_else(stage: EvmStage) -> None:
    stage.allow(10**18)
    before = stage.holdings()
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    await stage.executor.cancel("evm-leg-1")
    done = await stage.until("evm-leg-1")
    assert done.state is EvmState.CANCELLED
    assert [each.is_cancel for each in done.attempts] == [False, True]
    assert done.settlement is not None
    after = stage.holdings()
    assert (after[:2], before[2] - after[2]) == (before[:2], done.settlement.fee_wei)


async def test_a_swap_that_lands_before_its_cancellation_is_told_as_the_swap_that_it_is(stage: EvmStage) -> None:
    stage.allow(10**18)
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    stage.evm.mine()
    await stage.executor.cancel("evm-leg-1")
    assert (await stage.until("evm-leg-1")).state is EvmState.CONFIRMED


async def test_after_the_deadline_the_nonce_is_used_up_and_the_router_would_refuse_anyway(stage: EvmStage) -> None:
    stage.allow(10**18)
    before, now_ns = stage.holdings(), stage.clock.now_ns()
    await stage.executor.take(stage.intent(deadline_ns=now_ns + 60 * NS_PER_S))
    await stage.executor.step("evm-leg-1")
    (swap,) = stage.journal.record("evm-leg-1").attempts
    stage.clock.ahead_s += 61
    stage.evm.rpc("anvil_dropTransaction", swap.tx_hash)
    stage.evm.rpc("evm_setNextBlockTimestamp", now_ns // NS_PER_S + 400)
    with stage.evm.undone():  # even if the bytes of the swap came in now
        stage.evm.rpc("eth_sendRawTransaction", "0x" + swap.raw.hex())
        stage.evm.mine()
        assert stage.evm.rpc("eth_getTransactionReceipt", swap.tx_hash)["status"] == "0x0"
    stage.evm.rpc("evm_setAutomine", False)
    done = await stage.until("evm-leg-1")
    assert done.state is EvmState.CANCELLED
    assert stage.holdings()[:2] == before[:2]


async def test_a_late_intent_is_given_up_unsigned(stage: EvmStage) -> None:
    done = await stage.carried(stage.intent(deadline_ns=stage.clock.now_ns() - 1))
    assert (done.state, done.attempts) == (EvmState.FAILED, ())
    await stage.executor.take(stage.intent("leg-2"))
    await stage.executor.cancel("evm-leg-2")
    assert (await stage.until("evm-leg-2")).state is EvmState.CANCELLED


async def test_a_reorganisation_takes_the_swap_back_and_the_same_bytes_bring_it_again(stage: EvmStage) -> None:
    stage.allow(10**18)
    before = stage.holdings()
    await stage.executor.take(stage.intent())
    with stage.evm.undone():
        await stage.executor.step("evm-leg-1")
        stage.evm.mine()
        assert await stage.executor.step("evm-leg-1")
        assert stage.journal.record("evm-leg-1").state is EvmState.LANDED
        assert stage.evm.balance(stage.evm.token_0) == before[0] - 10**18
    stage.evm.rpc("evm_setAutomine", False)
    assert await stage.executor.step("evm-leg-1")
    assert stage.journal.record("evm-leg-1").state is EvmState.PENDING
    done = await stage.until("evm-leg-1")
    assert (done.state, len(done.attempts)) == (EvmState.CONFIRMED, 1)
    assert stage.evm.balance(stage.evm.token_0) == before[0] - 10**18
    assert "vanished" in [kind for _, _, kind, _ in stage.journal.events()]


async def test_a_confirmed_swap_that_vanishes_stops_the_account_until_a_person_looked(stage: EvmStage) -> None:
    stage.allow(10**18)
    with stage.evm.undone():
        done = await stage.carried(stage.intent())
        assert done.state is EvmState.CONFIRMED
    assert done.landed_in is not None
    for _ in range(6):
        stage.evm.send(stage.evm.owner, b"")  # another history, as long as the first
    assert await stage.executor.step("evm-leg-1")
    known = stage.journal.record("evm-leg-1")
    assert known.state is EvmState.NEEDS_REVIEW
    assert "was acted on and is no part of the chain any more" in stage.journal.halted(known.intent.account)
    with pytest.raises(InvalidInput, match="is halted"):
        await stage.executor.take(stage.intent("leg-2"))


async def test_after_a_person_looked_the_vanished_swap_goes_on_with_its_nonce_and_then_the_one_behind_it(
    stage: EvmStage,
) -> None:
    stage.allow(3 * 10**18)
    before, account = stage.holdings(), stage.mandate.account
    with stage.evm.undone():
        assert (await stage.carried(stage.intent())).state is EvmState.CONFIRMED
        await stage.executor.take(stage.intent("leg-2"))
        await stage.executor.step("evm-leg-2")
    stage.evm.rpc("evm_setAutomine", False)
    stage.evm.mine(12)
    assert await stage.executor.step("evm-leg-1")
    states = [stage.journal.record(each).state for each in ("evm-leg-1", "evm-leg-2")]
    assert states == [EvmState.NEEDS_REVIEW, EvmState.NEEDS_REVIEW]
    with pytest.raises(InvalidInput, match="still needs review"):
        stage.journal.release(account, "me", "looked")
    with pytest.raises(InvalidInput, match="intent evm-leg-1 comes before it"):
        stage.journal.answered("evm-leg-2", EvmState.PENDING, "me", "looked")
    with pytest.raises(InvalidInput, match="say what was looked at"):
        stage.journal.answered("evm-leg-1", EvmState.PENDING, "me", " ")
    for intent_id in ("evm-leg-1", "evm-leg-2"):
        stage.journal.answered(intent_id, EvmState.PENDING, "me", "the node was rolled back")
        assert (await stage.until(intent_id)).state is EvmState.CONFIRMED
    stage.journal.release(account, "me", "both are there")
    assert stage.journal.halted(account) == ""
    assert stage.evm.balance(stage.evm.token_0) == before[0] - 2 * 10**18


async def test_a_cancelled_swap_is_watched_until_nothing_can_bring_it_back(stage: EvmStage) -> None:
    stage.allow(10**18)
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    await stage.executor.cancel("evm-leg-1")
    done = await stage.until("evm-leg-1")
    assert (done.state, done.is_final) == (EvmState.CANCELLED, False)
    assert [each.intent.id for each in stage.journal.unfinished(stage.mandate.account)] == ["evm-leg-1"]
    stage.evm.mine(12)
    assert await stage.executor.step("evm-leg-1")
    assert stage.journal.record("evm-leg-1").is_final
    assert stage.journal.unfinished(stage.mandate.account) == []


async def test_a_cancellation_whose_block_vanished_is_for_a_person(stage: EvmStage) -> None:
    stage.allow(10**18)
    await stage.executor.take(stage.intent())
    with stage.evm.undone():
        await stage.executor.step("evm-leg-1")
        await stage.executor.cancel("evm-leg-1")
        assert (await stage.until("evm-leg-1")).state is EvmState.CANCELLED
    stage.evm.mine(12)
    assert await stage.executor.step("evm-leg-1")
    assert stage.journal.record("evm-leg-1").state is EvmState.NEEDS_REVIEW


async def test_what_the_chain_below_charges_is_asked_before_and_booked_after(
    stage: EvmStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 2 * 10**15
    stage.evm.rpc("anvil_setCode", GAS_ORACLE, "0x67" + f"{asked:016x}" + "60005260206000f3")  # answers one number
    stage.allow(10**18)
    charging = MandatedPreparer(stage.nodes, stage.reader, stage.mandate, FeeTerms(has_l1_fee=True))
    monkeypatch.setattr(stage.executor, "_preparer", charging)
    refused = await stage.carried(stage.intent("dear", fee_wei_max=asked + 1))
    assert (refused.state, refused.attempts) == (EvmState.FAILED, ())
    assert "1 are left of what is allowed" in refused.problem
    done = await stage.carried(stage.intent())
    assert done.state is EvmState.CONFIRMED


async def test_a_nonce_that_somebody_else_used_ends_the_swap_and_halts_the_account(stage: EvmStage) -> None:
    stage.allow(10**18)
    before = stage.holdings()
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    (attempt,) = stage.journal.record("evm-leg-1").attempts
    stage.evm.rpc("anvil_dropTransaction", attempt.tx_hash)
    stage.evm.send(stage.evm.owner, b"", sender=stage.mandate.account, value=1)
    assert not await stage.executor.step("evm-leg-1")  # not deep enough yet
    done = await stage.until("evm-leg-1")
    assert done.state is EvmState.REPLACED
    assert "somebody else has the key" in stage.journal.halted(done.intent.account)
    assert stage.holdings()[:2] == before[:2]


async def test_a_nonce_used_between_two_swaps_halts_the_account_before_the_next(stage: EvmStage) -> None:
    stage.allow(3 * 10**18)
    assert (await stage.carried(stage.intent())).state is EvmState.CONFIRMED
    stage.evm.send(stage.evm.owner, b"", sender=stage.mandate.account, value=1)
    await stage.executor.take(stage.intent("leg-2"))
    assert not await stage.executor.step("evm-leg-2")
    assert "somebody else who has the key" in stage.journal.halted(stage.mandate.account)
    assert stage.journal.record("evm-leg-2").attempts == ()


async def test_while_somebody_elses_transaction_waits_nothing_is_signed(stage: EvmStage) -> None:
    stage.allow(10**18)
    stage.evm.rpc("eth_sendTransaction", {"from": stage.mandate.account, "to": stage.evm.owner, "value": "0x1"})
    await stage.executor.take(stage.intent())
    with pytest.raises(ChainUnavailable, match="wait that are not ours"):
        await stage.executor.step("evm-leg-1")


async def test_no_second_nonce_is_signed_while_the_first_is_open(stage: EvmStage) -> None:
    stage.allow(3 * 10**18)
    for key in ("leg-1", "leg-2"):
        await stage.executor.take(stage.intent(key))
    await stage.executor.step("evm-leg-1")
    (attempt,) = stage.journal.record("evm-leg-1").attempts
    with pytest.raises(IllegalTransition, match="intent evm-leg-1 holds a nonce"):
        stage.journal.signed(replace(attempt, intent_id="evm-leg-2", nonce=attempt.nonce + 1, tx_hash="0x" + "1" * 64))
    assert stage.journal.record("evm-leg-2").state is EvmState.OPEN


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"amount_in": 10**22 + 1}, "day_limit"),
        ({"fee_wei_max": 1_000}, "it may cost"),
        ({"amount_in": 10**21, "min_out": 10**30}, "the pool gives"),
    ],
)
async def test_what_the_mandate_or_the_pool_does_not_give_is_refused_unsigned(
    stage: EvmStage, changes: dict[str, int], problem: str
) -> None:
    stage.allow(10**23)
    done = await stage.carried(stage.intent(**changes))
    assert (done.state, done.attempts) == (EvmState.FAILED, ())
    assert problem in done.problem


async def test_the_days_limit_counts_what_was_given_before(stage: EvmStage) -> None:
    stage.allow(10**23)
    pair = PoolKind.CONSTANT_PRODUCT
    assert (await stage.carried(stage.intent(kind=pair, amount_in=6 * 10**21))).state is EvmState.CONFIRMED
    refused = await stage.carried(stage.intent("leg-2", kind=pair, amount_in=5 * 10**21))
    assert (refused.state, refused.problem[:9]) == (EvmState.FAILED, "day_limit")


async def test_an_allowance_is_exactly_the_amount_and_an_intent_of_its_own(stage: EvmStage) -> None:
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    allowing = stage.journal.record(_allow_id(stage))
    assert (allowing.intent.kind, allowing.state) == (EvmKind.ALLOW, EvmState.PENDING)
    stage.evm.mine()
    assert await stage.executor._preparer.allowance(allowing.intent) == 10**18
    assert stage.journal.record("evm-leg-1").attempts == ()
    assert (await stage.until("evm-leg-1")).state is EvmState.CONFIRMED


async def test_an_allowance_that_is_dropped_is_sent_again_and_the_swap_waits_for_it(stage: EvmStage) -> None:
    await stage.executor.take(stage.intent())
    await stage.executor.step("evm-leg-1")
    allowing = stage.journal.record(_allow_id(stage))
    stage.evm.rpc("anvil_dropTransaction", allowing.attempts[0].tx_hash)
    stage.evm.mine()
    assert not await stage.executor.step("evm-leg-1")
    assert (await stage.until("evm-leg-1")).state is EvmState.CONFIRMED
    assert len(stage.journal.record(allowing.intent.id).attempts) == 1
