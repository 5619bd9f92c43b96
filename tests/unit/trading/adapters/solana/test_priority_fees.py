"""What is paid for a place in a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.clocks import SystemClock
from tests.doubles.scripted_chain import ScriptedChain
from tests.support.scripted_rpc import ScriptedRpc, error, result, says

from trading.adapters.solana.chain import SolanaChain
from trading.adapters.solana.fees import FEW, UNITS_MAX, clamped, typical
from trading.config import ChainSection

pytestmark = pytest.mark.requirement("T10")
ACCOUNTS = ["So11111111111111111111111111111111111111112", "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"]


@asynccontextmanager
async def chain_of(**changes: Any) -> AsyncIterator[tuple[SolanaChain, ScriptedRpc]]:
    async with (
        ScriptedRpc.serving(ScriptedChain(("one",))) as server,
        SolanaChain.connect(server.section(**changes), SystemClock()) as chain,
    ):
        yield chain, server


def test_slots_in_which_nobody_paid_say_nothing() -> None:
    assert typical([0] * 130 + [5_000] * 20, 75) == 5_000
    assert typical([0] * 150, 75) == 0
    assert typical([], 75) == 0


def test_a_percentile_is_one_of_the_fees_that_were_paid() -> None:
    fees = list(range(100, 2_100, 100))
    assert (typical(fees, 50), typical(fees, 75), typical(fees, 100)) == (1_000, 1_500, 2_000)


def test_a_few_spikes_do_not_set_the_price() -> None:
    calm = [1_000] * 12
    assert typical([*calm, 50_000_000, 60_000_000], 75) == 1_000
    assert typical([*calm, *[50_000_000] * 5], 75) == 10_000, "no more than ten times the median"
    assert typical([0] * 140 + [400, 500, 90_000_000], 90) == 500, "of few the median"


@given(st.lists(st.integers(0, 2**64 - 1), max_size=150), st.integers(1, 100))
def test_the_answer_is_bounded_by_what_was_paid(fees: list[int], percentile: int) -> None:
    answer = typical(fees, percentile)
    paid = [fee for fee in fees if fee]
    assert (min(paid) <= answer <= max(paid)) if paid else answer == 0
    if len(paid) < FEW:
        assert answer == 0 or answer in paid


@given(st.integers(0, 2**63), st.integers(0, 10**7), st.integers(0, 10**8), st.integers(1_000, UNITS_MAX))
def test_no_transaction_pays_more_than_the_cap_whatever_its_limit(price: int, floor: int, cap: int, units: int) -> None:
    section = ChainSection(fee_floor_lamports=floor, fee_cap_lamports=cap, fee_units=units)
    paid = clamped(price, section)
    assert paid * UNITS_MAX <= cap * 1_000_000
    if paid < cap * 1_000_000 // UNITS_MAX:
        assert paid >= price
        assert paid * units >= floor * 1_000_000


@pytest.mark.anyio
async def test_the_writable_accounts_are_asked_about_and_the_answer_is_clamped() -> None:
    async with chain_of(fee_floor_lamports=300, fee_cap_lamports=2_000_000, fee_units=300_000) as (chain, server):
        server.fees = [0] * 100 + [40_000] * 50
        assert await chain.priority_fee(ACCOUNTS) == 40_000
        assert server.requests[-1]["params"] == [sorted(ACCOUNTS)]
        server.fees = [0] * 150
        assert await chain.priority_fee(ACCOUNTS) == 1_000
        server.fees = [10**12] * 150
        assert await chain.priority_fee(ACCOUNTS) == 2_000_000 * 1_000_000 // UNITS_MAX


@pytest.mark.anyio
async def test_a_price_is_remembered_for_a_while() -> None:
    async with chain_of(fee_age_s=0.2) as (chain, server):
        server.fees = [40_000] * 20
        assert await chain.priority_fee(ACCOUNTS) == 40_000
        server.fees = [50_000] * 20
        assert await chain.priority_fee(ACCOUNTS[::-1]) == 40_000
        assert await chain.priority_fee(ACCOUNTS[:1]) == 50_000
        await anyio.sleep(0.21)
        assert await chain.priority_fee(ACCOUNTS) == 50_000


@pytest.mark.anyio
async def test_many_who_need_the_same_price_at_once_ask_once() -> None:
    async with chain_of() as (chain, server), anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(chain.priority_fee, ACCOUNTS)
    assert server.calls["one"]["getRecentPrioritizationFees"] == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (result({"priorityFeeEstimate": 12_345.9}), 12_345),
        (result({"priorityFeeEstimate": 1e15}), 2_000_000 * 1_000_000 // UNITS_MAX),
        (result({"priorityFeeEstimate": "high"}), 40_000),
        (result({"priorityFeeEstimate": -1}), 40_000),
        (result({}), 40_000),
        (error(-32601, "Method not found"), 40_000),
    ],
)
async def test_an_estimate_is_used_where_an_endpoint_has_one_that_makes_sense(answer: Any, expected: int) -> None:
    async with ScriptedRpc.serving(ScriptedChain(("one",))) as server:
        endpoints = [each.model_copy(update={"has_helius_fees": True}) for each in server.section().endpoints]
        async with SolanaChain.connect(server.section(endpoints=endpoints), SystemClock()) as chain:
            server.fees = [40_000] * 20
            server.always["one"]["getPriorityFeeEstimate"] = says(answer)
            assert await chain.priority_fee(ACCOUNTS) == expected
            assert server.calls["one"]["getPriorityFeeEstimate"] == 1
