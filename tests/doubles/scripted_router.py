"""A router that offers what its market gives now, or what a test makes of it: a body of ``ports.SwapRouter``.

The market may be a plain chain (``PlainChainMarket``), a pool of a rehearsal chain (``RehearsalMarket``) or whatever
else quotes and names instructions.
"""

import json
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from tests.doubles.plain_chain import TOKEN, PlainChain

from trading.errors import RouteRefused, TradingError
from trading.model.chain import BlockhashSeen, InstructionWanted, SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT
from trading.rehearsal.cluster import Cluster, Level
from trading.rehearsal.jupiter_market import Quote
from trading.rehearsal.jupiter_parts import Parts, assemble
from trading.rehearsal.pools import Pool

SWAP_PROGRAM = "Swap111111111111111111111111111111111111111"
SETUP_PROGRAM = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
IMPACT_SCALE_BPS = 10_000


class SwapMarket(Protocol):
    """What a scripted router routes over."""

    def now_ns(self) -> int: ...

    def reserves(self, in_mint: str, out_mint: str) -> tuple[int, int] | None:
        """Return the base units of both sides of the pool, in that order; None where there is no pool."""

    def out_units(self, wanted: SwapWanted) -> int:
        """Return what the swap would give now."""

    def setup(self, wanted: SwapWanted) -> tuple[InstructionWanted, ...]: ...

    def swap(self, wanted: SwapWanted, min_out: int) -> InstructionWanted: ...

    def cleanup(self, wanted: SwapWanted) -> tuple[InstructionWanted, ...]: ...

    async def blockhash(self) -> BlockhashSeen: ...


class PlainChainMarket:
    """The one pool of a ``PlainChain``. An instruction's data is JSON that says what it does."""

    def __init__(self, chain: PlainChain) -> None:
        self._chain = chain

    def now_ns(self) -> int:
        return self._chain.now_ns()

    def reserves(self, in_mint: str, out_mint: str) -> tuple[int, int] | None:
        lamports, units = self._chain.pool
        return {(SOL_MINT, TOKEN): (lamports, units), (TOKEN, SOL_MINT): (units, lamports)}.get((in_mint, out_mint))

    def out_units(self, wanted: SwapWanted) -> int:
        found = self.reserves(wanted.in_mint, wanted.out_mint)
        assert found is not None
        have, want = found
        return want * wanted.amount_in // (have + wanted.amount_in)

    def setup(self, wanted: SwapWanted) -> tuple[InstructionWanted, ...]:
        account = f"ata-{wanted.wallet}"
        accounts = ((wanted.wallet, True, True), (account, False, True), (wanted.out_mint, False, False))
        return (InstructionWanted(SETUP_PROGRAM, accounts, b"\x01"),)

    def swap(self, wanted: SwapWanted, min_out: int) -> InstructionWanted:
        body = {
            "wallet": wanted.wallet,
            "in_mint": wanted.in_mint,
            "out_mint": wanted.out_mint,
            "amount_in": wanted.amount_in,
            "min_out": min_out,
        }
        accounts = ((wanted.wallet, True, True), (f"ata-{wanted.wallet}", False, True))
        return InstructionWanted(SWAP_PROGRAM, accounts, json.dumps(body, sort_keys=True).encode())

    def cleanup(self, wanted: SwapWanted) -> tuple[InstructionWanted, ...]:
        return ()

    async def blockhash(self) -> BlockhashSeen:
        return await self._chain.latest_blockhash()


class RehearsalMarket:
    """A pool of a rehearsal chain, asked in this process: instructions that its program carries out."""

    def __init__(self, cluster: Cluster, pool: Pool) -> None:
        self._cluster = cluster
        self._pool = pool

    def now_ns(self) -> int:
        return self._cluster.time_s(self._cluster.slot) * 10**9

    def reserves(self, in_mint: str, out_mint: str) -> tuple[int, int] | None:
        if {in_mint, out_mint} != {str(mint) for mint in self._pool.mints}:
            return None
        return self._pool.reserves(self._cluster, Pubkey.from_string(in_mint))

    def out_units(self, wanted: SwapWanted) -> int:
        return self._pool.quote(self._cluster, Pubkey.from_string(wanted.in_mint), wanted.amount_in)

    def setup(self, wanted: SwapWanted) -> tuple[InstructionWanted, ...]:
        return tuple(map(_named, self._parts(wanted).setup))

    def swap(self, wanted: SwapWanted, min_out: int) -> InstructionWanted:
        return _named(self._parts(wanted).swap)  # the program reckons the minimum from quote and slippage as we do

    def cleanup(self, wanted: SwapWanted) -> tuple[InstructionWanted, ...]:
        closed = self._parts(wanted).cleanup
        return (_named(closed),) if closed else ()

    async def blockhash(self) -> BlockhashSeen:
        block = self._cluster.newest(Level.CONFIRMED)
        return BlockhashSeen(block.blockhash, self._cluster.last_valid_height(block), block.slot)

    def _parts(self, wanted: SwapWanted) -> Parts:
        mint = Pubkey.from_string(wanted.in_mint)
        quote = Quote(self._pool, mint, wanted.amount_in, self.out_units(wanted), Decimal(0))
        return assemble(Pubkey.from_string(wanted.wallet), quote, wanted.slippage_bps, wraps=True)


def _named(given: Instruction) -> InstructionWanted:
    accounts = tuple((str(each.pubkey), each.is_signer, each.is_writable) for each in given.accounts)
    return InstructionWanted(str(given.program_id), accounts, bytes(given.data))


class ScriptedRouter:
    """``errors`` are raised first, one a call; ``twist`` changes each offer before it is given (a router that lies).

    ``asked`` keeps what was asked for, also where it was refused.
    """

    def __init__(self, market: SwapMarket, name: str = "scripted") -> None:
        self._market = market
        self._name = name
        self.asked: list[SwapWanted] = []
        self.errors: deque[TradingError] = deque()
        self.twist: Callable[[SwapOffer], SwapOffer] = lambda offer: offer
        self.compute_unit_price_micro_lamports = 1_000

    @property
    def name(self) -> str:
        return self._name

    async def offer(self, wanted: SwapWanted) -> SwapOffer:
        self.asked.append(wanted)
        if self.errors:
            raise self.errors.popleft()
        if wanted.in_mint == wanted.out_mint:
            raise RouteRefused("a swap into the same token", reason="circular")
        reserves = self._market.reserves(wanted.in_mint, wanted.out_mint)
        if reserves is None:
            raise RouteRefused("no pool of these two", reason="no_route")
        out = self._market.out_units(wanted)
        if out < 1:
            raise RouteRefused("nothing would come out", reason="amount_too_small")
        # How far the price that it gets lies below the pool's, rounded up.
        have, want = reserves
        lost = IMPACT_SCALE_BPS * (wanted.amount_in * want - out * have)
        min_out = -(-out * (10_000 - wanted.slippage_bps) // 10_000)
        return self.twist(
            SwapOffer(
                wanted=wanted,
                out_units=out,
                min_out_units=min_out,
                price_impact_bps=-(-lost // (wanted.amount_in * want)),
                venues=(self._name,),
                label=self._name,
                compute_unit_price_micro_lamports=self.compute_unit_price_micro_lamports,
                setup=self._market.setup(wanted),
                swap=self._market.swap(wanted, min_out),
                cleanup=self._market.cleanup(wanted),
                others=(),
                lookup_tables={},
                blockhash=await self._market.blockhash(),
                received_ns=self._market.now_ns(),
                quote=json.dumps({"inAmount": str(wanted.amount_in), "outAmount": str(out)}, sort_keys=True),
            )
        )
