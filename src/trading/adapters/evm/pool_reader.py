"""Pools as they were after one block: every part asked for at that block's number, and the block looked at again after
the last answer, so that a reorganisation in between is noticed."""

from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

import anyio

from trading.adapters.evm.calls import answer, call_data
from trading.adapters.evm.endpoint import EvmEndpoint
from trading.adapters.evm.nodes import EvmNodes
from trading.arbitrage.evm_ports import PoolSeen
from trading.arbitrage.pools import WORD_TICKS, ConstantProduct, Pool, Ticks
from trading.errors import ChainUnavailable, RouteRefused
from trading.model.evm import BlockSeen, PoolKind, PoolRef, address_of

T = TypeVar("T")
V2_FEE_PPM: Final = 3_000
"""The fee that is written into Uniswap's pairs."""
CALLS_AT_ONCE: Final = 8
_NOBODY: Final = "0x" + "00" * 20
_PRICE_NOW: Final = ("uint160", "int24", "uint16", "uint16", "uint16", "uint8", "bool")
_AT_TICK: Final = ("uint128", "int128", "uint256", "uint256", "int56", "uint160", "uint32", "bool")


class PoolReader:
    """Body of ``EvmReader`` and ``EvmHoldings``. ``words`` of the bitmap are read on each side of the price, and of the
    initialised ticks in them up to ``ticks_max``, the nearest: a swap that goes further has no quote."""

    def __init__(self, nodes: EvmNodes, *, words: int = 2, ticks_max: int = 200) -> None:
        self._nodes = nodes
        self._words = words
        self._ticks_max = ticks_max

    async def describe(self, address: str, kind: PoolKind, factory: str) -> PoolRef:
        """Return what never changes of a pool. Raises: RouteRefused where it is none that the factory made."""
        return await self._nodes.with_one(lambda each: self._describe(each, address, kind, factory))

    async def read(self, ref: PoolRef) -> PoolSeen:
        return await self._nodes.with_one(lambda each: self._read(each, ref))

    async def balances(self, account: str, tokens: Sequence[str]) -> tuple[int, ...]:
        data = call_data("balanceOf", ("address",), (account,))

        async def ask(endpoint: EvmEndpoint) -> tuple[int, ...]:
            told = await _all_of([endpoint.call(token, data) for token in tokens])
            return tuple(int(answer(("uint256",), each, "balanceOf")[0]) for each in told)

        return await self._nodes.with_one(ask)

    async def wei(self, account: str) -> int:
        return await self._nodes.with_one(lambda each: each.balance_wei(account))

    async def decimals(self, token: str) -> int:
        """Return a token's decimals, as its contract tells them. Raises: ChainUnavailable, RouteRefused."""
        told = await self._nodes.with_one(lambda each: each.call(token, call_data("decimals")))
        return int(answer(("uint8",), told, "decimals")[0])

    async def is_current(self, block: BlockSeen) -> bool:
        seen = await self._nodes.block(block.number)
        head = await self._nodes.head()
        return seen is not None and seen.hash == block.hash and head.number >= block.number

    async def _describe(self, endpoint: EvmEndpoint, address: str, kind: PoolKind, factory: str) -> PoolRef:
        pool = address_of(address, "pool")
        (token_0,) = answer(("address",), await endpoint.call(pool, call_data("token0")), "token0")
        (token_1,) = answer(("address",), await endpoint.call(pool, call_data("token1")), "token1")
        fee_ppm, spacing = V2_FEE_PPM, 0
        data = call_data("getPair", ("address", "address"), (token_0, token_1))
        if kind is PoolKind.CONCENTRATED:
            (fee_ppm,) = answer(("uint24",), await endpoint.call(pool, call_data("fee")), "fee")
            (spacing,) = answer(("int24",), await endpoint.call(pool, call_data("tickSpacing")), "tickSpacing")
            data = call_data("getPool", ("address", "address", "uint24"), (token_0, token_1, fee_ppm))
        (made,) = answer(("address",), await endpoint.call(factory, data), "the factory")
        if made == _NOBODY or address_of(made) != pool:
            msg = f"{pool} is no pool of the factory {factory}"
            raise RouteRefused(msg, reason="unknown_pool")
        return PoolRef(pool, kind, address_of(token_0), address_of(token_1), fee_ppm, spacing)

    async def _read(self, endpoint: EvmEndpoint, ref: PoolRef) -> PoolSeen:
        block = await endpoint.block("latest")
        if block is None:
            msg = f"{endpoint.name} has no block"
            raise ChainUnavailable(msg)
        self._nodes.require_fresh(block)
        pool = await self._state(endpoint, ref, block.number)
        again = await endpoint.block(block.number)
        if again is None or again.hash != block.hash:
            msg = f"block {block.number} was replaced while {ref.address} was read"
            raise ChainUnavailable(msg, hint="it is read again")
        return PoolSeen(ref, block, pool)

    async def _state(self, endpoint: EvmEndpoint, ref: PoolRef, at: int) -> Pool:
        if ref.kind is PoolKind.CONSTANT_PRODUCT:
            told = await endpoint.call(ref.address, call_data("getReserves"), at)
            reserve_0, reserve_1, _ = answer(("uint112", "uint112", "uint32"), told, "getReserves")
            return ConstantProduct(reserve_0, reserve_1, ref.fee_ppm)
        slot, active = await _all_of(
            [endpoint.call(ref.address, call_data("slot0"), at), endpoint.call(ref.address, call_data("liquidity"), at)]
        )
        sqrt_price, tick, *_ = answer(_PRICE_NOW, slot, "slot0")
        (liquidity,) = answer(("uint128",), active, "liquidity")
        if not sqrt_price:
            msg = f"{ref.address} has no price yet"
            raise RouteRefused(msg, reason="empty_pool")
        middle = tick // ref.spacing // WORD_TICKS
        words = range(middle - self._words, middle + self._words + 1)
        maps = await _all_of(
            [endpoint.call(ref.address, call_data("tickBitmap", ("int16",), (word,)), at) for word in words]
        )
        found = [
            (word * WORD_TICKS + bit) * ref.spacing
            for word, told in zip(words, maps, strict=True)
            for bit in _bits(answer(("uint256",), told, "tickBitmap")[0])
        ]
        low, high = self._within(words, found, middle, ref.spacing)
        kept = [each for each in found if low <= each // ref.spacing // WORD_TICKS <= high]
        told_ticks = await _all_of(
            [endpoint.call(ref.address, call_data("ticks", ("int24",), (each,)), at) for each in kept]
        )
        nets = [int(answer(_AT_TICK, each, "ticks")[1]) for each in told_ticks]
        try:
            return Ticks(
                sqrt_price, tick, liquidity, ref.fee_ppm, ref.spacing, tuple(zip(kept, nets, strict=True)), low, high
            )
        except ValueError as error:
            msg = f"{endpoint.name} tells of a pool that cannot be: {error}"
            raise ChainUnavailable(msg) from error

    def _within(self, words: range, found: Sequence[int], middle: int, spacing: int) -> tuple[int, int]:
        """Return the first and the last word whose ticks are all read: the outer ones go where they hold too many."""
        low, high = words[0], words[-1]

        def held() -> int:
            return sum(low <= each // spacing // WORD_TICKS <= high for each in found)

        while held() > self._ticks_max and low < high:
            low, high = (low + 1, high) if middle - low >= high - middle else (low, high - 1)
        return low, high


def _bits(word: int) -> list[int]:
    return [bit for bit in range(WORD_TICKS) if word >> bit & 1]


async def _all_of(asked: Sequence[Awaitable[bytes]]) -> list[bytes]:
    """Return all answers in their order, a few asked at once. Raises the first error of one of them."""
    found: dict[int, bytes] = {}
    problems: list[ChainUnavailable | RouteRefused] = []
    room = anyio.CapacityLimiter(CALLS_AT_ONCE)

    async def one(place: int, each: Awaitable[bytes]) -> None:
        async with room:
            try:
                found[place] = await each
            except (ChainUnavailable, RouteRefused) as error:
                problems.append(error)

    async with anyio.create_task_group() as tasks:
        for place, each in enumerate(asked):
            tasks.start_soon(one, place, each)
    if problems:
        raise problems[0]
    return [found[place] for place in range(len(asked))]
