"""Quotes against Uniswap's own contracts on a local EVM: to the unit, both kinds, both sides, ticks crossed."""

import random
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.support.evm import CHAIN_ID, FEE_V3, SPACING, Evm, code_of, evm_running, nodes_of

from trading.adapters.evm.nodes import EvmNodes
from trading.adapters.evm.pool_reader import PoolReader
from trading.arbitrage.pools import BeyondRead, ConstantProduct, Ticks, swap
from trading.errors import ChainUnavailable, RouteRefused, WrongChain
from trading.model.evm import PoolKind, PoolRef

pytestmark = pytest.mark.anyio
WIDE = 60  # words: the whole range of a pool with this spacing
SWAPS = 40


@pytest.fixture(scope="module")
def chain() -> Iterator[Evm]:
    with evm_running() as evm:
        yield evm


@pytest.fixture
def evm(chain: Evm) -> Iterator[Evm]:
    with chain.undone():
        yield chain


@pytest.fixture
async def nodes(evm: Evm) -> AsyncIterator[EvmNodes]:
    async with nodes_of(evm.url) as found:
        yield found


async def described(nodes: EvmNodes, evm: Evm, kind: PoolKind) -> PoolRef:
    address, factory = (evm.pool, evm.v3_factory) if kind is PoolKind.CONCENTRATED else (evm.pair, evm.v2_factory)
    return await PoolReader(nodes).describe(address, kind, factory)


async def test_a_pool_is_described_by_the_chain_and_vouched_for_by_its_factory(nodes: EvmNodes, evm: Evm) -> None:
    pool = await described(nodes, evm, PoolKind.CONCENTRATED)
    pair = await described(nodes, evm, PoolKind.CONSTANT_PRODUCT)
    assert (pool.fee_ppm, pool.spacing) == (FEE_V3, SPACING)
    assert (pair.token_0, pair.token_1) == (pool.token_0, pool.token_1) == (evm.token_0, evm.token_1)
    with pytest.raises(RouteRefused, match="is no pool of the factory"):
        await PoolReader(nodes).describe(evm.pair, PoolKind.CONSTANT_PRODUCT, _lookalike(evm))
    with pytest.raises((ChainUnavailable, RouteRefused)):
        await PoolReader(nodes).describe(evm.token_0, PoolKind.CONCENTRATED, evm.v3_factory)


def _lookalike(evm: Evm) -> str:
    return evm.deploy(code_of("v2_factory"), ("address",), evm.owner)


@pytest.mark.requirement("T15")
async def test_every_quote_is_what_the_concentrated_pool_then_gives(nodes: EvmNodes, evm: Evm) -> None:
    chance = random.Random(7)
    ref = await described(nodes, evm, PoolKind.CONCENTRATED)
    pool, crossed = (await PoolReader(nodes, words=WIDE).read(ref)).pool, 0
    for number in range(SWAPS):
        amount, gives_0 = chance.randrange(1, 10 ** chance.choice([3, 9, 20, 21, 22])), number % 2 == 0
        expected = swap(pool, amount, gives_0=gives_0)
        if expected is None:
            continue
        assert evm.swap_pool(amount, gives_0=gives_0) == expected.amount_out, (number, amount, gives_0)
        crossed += expected.ticks_crossed
        pool = expected.after  # never read anew: a unit of difference would show in every later swap
    assert crossed > 10
    now = (await PoolReader(nodes, words=0).read(ref)).pool
    assert isinstance(now, Ticks)
    assert isinstance(pool, Ticks)
    assert (now.sqrt_price, now.tick, now.liquidity) == (pool.sqrt_price, pool.tick, pool.liquidity)


@pytest.mark.requirement("T15")
async def test_every_quote_is_what_the_pair_then_gives(nodes: EvmNodes, evm: Evm) -> None:
    chance = random.Random(8)
    ref, reader = await described(nodes, evm, PoolKind.CONSTANT_PRODUCT), PoolReader(nodes)
    for number in range(12):
        pool = (await reader.read(ref)).pool
        assert isinstance(pool, ConstantProduct)
        amount, gives_0 = chance.randrange(100, 10 ** chance.randrange(4, 23)), chance.random() < 0.5
        expected = swap(pool, amount, gives_0=gives_0)
        assert expected is not None
        assert evm.swap_pair(amount, gives_0=gives_0) == expected.amount_out, (number, amount, gives_0)
        assert (await reader.read(ref)).pool == expected.after


async def test_what_lies_beyond_the_words_read_has_no_quote(nodes: EvmNodes, evm: Evm) -> None:
    ref = await described(nodes, evm, PoolKind.CONCENTRATED)
    near = (await PoolReader(nodes, words=0).read(ref)).pool
    wide = (await PoolReader(nodes, words=WIDE).read(ref)).pool
    assert isinstance(near, Ticks)
    assert (near.word_low, near.word_high) == (0, 0)
    small, large = swap(near, 10**18, gives_0=False), swap(wide, 10**18, gives_0=False)
    assert small is not None
    assert large is not None
    assert small.amount_out == large.amount_out
    with pytest.raises(BeyondRead):
        swap(near, 10**23, gives_0=False)


async def test_too_many_ticks_narrow_what_was_read_instead_of_leaving_some_out(nodes: EvmNodes, evm: Evm) -> None:
    ref = await described(nodes, evm, PoolKind.CONCENTRATED)
    narrow = (await PoolReader(nodes, words=WIDE, ticks_max=7).read(ref)).pool
    assert isinstance(narrow, Ticks)
    assert len(narrow.ticks) <= 7
    whole = (await PoolReader(nodes, words=WIDE).read(ref)).pool
    assert isinstance(whole, Ticks)
    inside = [each for each in whole.ticks if narrow.word_low <= each[0] // SPACING // 256 <= narrow.word_high]
    assert list(narrow.ticks) == inside


async def test_a_block_that_was_reorganised_away_is_not_current(nodes: EvmNodes, evm: Evm) -> None:
    ref, reader = await described(nodes, evm, PoolKind.CONSTANT_PRODUCT), PoolReader(nodes)
    with evm.undone():
        evm.swap_pair(10**18, gives_0=True)
        seen = await reader.read(ref)
        assert await reader.is_current(seen.block)
    evm.swap_pair(10**17, gives_0=False)
    assert not await reader.is_current(seen.block)


async def test_a_chain_that_stands_still_gives_no_quote(evm: Evm) -> None:
    async with nodes_of(evm.url, stale_s_max=600) as nodes:
        ref = await described(nodes, evm, PoolKind.CONSTANT_PRODUCT)
        assert (await PoolReader(nodes).read(ref)).block.number > 0
    async with nodes_of(evm.url, stale_s_max=600, ahead_s=900) as late:
        with pytest.raises(ChainUnavailable, match="s old, and 600 s are allowed"):
            await PoolReader(late).read(ref)


async def test_a_node_of_another_chain_is_refused(evm: Evm) -> None:
    with pytest.raises(WrongChain, match="chain 8453 is wished"):
        async with nodes_of(evm.url, chain_id=8_453):
            pass
    async with nodes_of(evm.url, chain_id=CHAIN_ID) as nodes:
        assert (await nodes.head()).number > 0
