"""Ask the real services what the desk asks them, once, and say what came: ``python -m scripts.live_smoke --live``.

Reads only: nothing is signed or sent, unless ``--swaps`` asks for real swaps (``live_swaps``). Settings are the desk's
own (``TRADING_CHAIN__ENDPOINTS``, ``TRADING_MARKET__JUPITER_KEY``, ``TRADING_ROUTER__...``). What is not configured is
left out and said to be. Fields that an answer has and our models have not are named: the API has grown. Not for CI,
which it refuses to run in.
"""

import argparse
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

import anyio
import orjson
from pydantic import BaseModel
from scripts import live_swaps
from solders.keypair import Keypair

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.models import Build
from trading.adapters.jupiter.order import JupiterOrder
from trading.adapters.jupiter.prices import JupiterPrices
from trading.adapters.jupiter.tokens import JupiterTokens
from trading.adapters.second_price_choice import second_price
from trading.adapters.second_prices import ChainDecimals
from trading.adapters.solana.chain import SolanaChain
from trading.adapters.solana.mints import read_mint
from trading.config import Sections
from trading.errors import RouteRefused, TradingError
from trading.feeds.instruments import KNOWN_MINTS
from trading.model.chain import Commitment, SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT
from trading.ports import Chain, Clock
from trading.runtime.clock import WallClock
from trading.settings import load

SYMBOLS = ("BONK", "WIF", "JUP")
LAMPORTS = 10_000_000
SLIPPAGE_BPS = 100
NEEDS_A_CHAIN = "no Solana endpoint is configured (TRADING_CHAIN__ENDPOINTS)"
PAUSE_S_MAX = 120.0
_BPS = 10_000


@dataclass(frozen=True)
class Finding:
    """``verdict``: ok, failed, or left_out where something is not configured."""

    what: str
    verdict: str
    detail: str


@dataclass
class Smoke:
    """One round of questions. ``tokens`` maps symbols to (mint, decimals); ``wallet`` is who a swap would be for."""

    sections: Sections
    tokens: dict[str, tuple[str, int]]
    wallet: str
    clock: Clock = field(default_factory=WallClock)
    lamports: int = LAMPORTS
    findings: list[Finding] = field(default_factory=list)
    _pause: Callable[[], Awaitable[None]] = field(default=anyio.lowlevel.checkpoint, repr=False)

    async def run(self) -> list[Finding]:
        """Ask everything in turn; one question that fails stops no other."""
        async with (
            self._chain() as chain,
            JupiterApi.connect(self.sections.market, self.sections.router, self.clock) as api,
        ):
            if chain is None:
                self._note("chain", "left_out", NEEDS_A_CHAIN)
            else:
                await self._check("chain", lambda: self._of_chain(chain))
                for symbol in self.tokens:
                    await self._check(f"mint {symbol}", lambda symbol=symbol: self._of_mint(chain, symbol))
            # A service that failed is left alone for a while; the next question is not to suffer from that.
            self._pause = lambda: anyio.sleep(min(api.gateway.away_s, PAUSE_S_MAX))
            offers: dict[str, SwapOffer] = {}
            for symbol in self.tokens:
                await self._check(f"build {symbol}", lambda symbol=symbol: self._of_build(api, symbol, offers))
            await self._check("build on no venue", lambda: self._of_no_route(api))
            await self._check("order", lambda: self._of_order(api))
            await self._check("search", lambda: self._of_search(api))
            if chain is None:
                self._note("prices", "left_out", f"decimals come from the chain: {NEEDS_A_CHAIN}")
            else:
                await self._check("Jupiter's prices", lambda: self._of_prices(api, chain))
                await self._check("second price", lambda: self._of_second_price(chain, offers))
        return self.findings

    # -- the questions

    async def _of_chain(self, chain: Chain) -> str:
        genesis = await chain.genesis_hash()
        confirmed, finalized = [await chain.height(each) for each in (Commitment.CONFIRMED, Commitment.FINALIZED)]
        blockhash = await chain.latest_blockhash()
        fee = await chain.priority_fee([self.tokens[next(iter(self.tokens))][0]])
        left = blockhash.last_valid_block_height - confirmed.block_height
        return (
            f"genesis {genesis}, slot {confirmed.slot} ({confirmed.slot - finalized.slot} ahead of finalized), "
            f"blockhash good for {left} blocks, priority fee {fee} micro-lamports a unit"
        )

    async def _of_mint(self, chain: Chain, symbol: str) -> str:
        mint, decimals = self.tokens[symbol]
        account = (await chain.accounts([mint]))[mint]
        if account is None:
            raise SmokeFailed(f"there is no account {mint}")
        seen = read_mint(account)
        if seen.decimals != decimals:
            raise SmokeFailed(f"{seen.decimals} decimals on the chain, {decimals} in our table")
        powers = [name for name in ("mint_authority", "freeze_authority", "transfer_hook") if getattr(seen, name)]
        return f"{decimals} decimals, program {seen.token_program[:8]}, powers left: {', '.join(powers) or 'none'}"

    async def _of_build(self, api: JupiterApi, symbol: str, offers: dict[str, SwapOffer]) -> str:
        offer = await JupiterBuild(api).offer(self._wanted(symbol))
        offers[symbol] = offer
        new = unknown_fields(Build.model_validate(orjson.loads(offer.quote)))
        count = len(offer.setup) + 1 + len(offer.cleanup) + len(offer.others)
        return (
            f"{offer.out_units} base units by {offer.label} over {', '.join(offer.venues)}, impact "
            f"{offer.price_impact_bps} bp, {count} instructions, {len(offer.lookup_tables)} tables, advice "
            f"{offer.compute_unit_price_micro_lamports} micro-lamports a unit"
            + (f"; fields new to us: {', '.join(new)}" if new else "")
        )

    async def _of_no_route(self, api: JupiterApi) -> str:
        """An unknown label is documented to be answered as a pair without a route: is our word for that still right?"""
        wanted = self._wanted(next(iter(self.tokens)))
        asked = SwapWanted(
            wanted.wallet, SOL_MINT, wanted.out_mint, wanted.amount_in, SLIPPAGE_BPS, dexes=("No Such Venue",)
        )
        try:
            await JupiterBuild(api).offer(asked)
        except RouteRefused as refused:
            if refused.reason != "no_route":
                raise
            return f"refused as no_route: {refused.message}"
        raise SmokeFailed("an offer came although no venue was allowed")

    async def _of_order(self, api: JupiterApi) -> str:
        """A wallet without money gets a quote and no transaction, and is told why."""
        try:
            order = await JupiterOrder(api).order(self._wanted(next(iter(self.tokens))))
        except RouteRefused as refused:
            if refused.reason not in ("insufficient_funds", "insufficient_sol", "not_ours_to_sign"):
                raise
            return f"quoted and not built ({refused.reason}): {refused.message}"
        return f"a transaction of {len(order.transaction)} bytes that the wallet alone signs, fee {order.fee_bps} bp"

    async def _of_search(self, api: JupiterApi) -> str:
        symbol, (mint, _) = next(iter(self.tokens.items()))
        found = await JupiterTokens(api).candidates(symbol)
        if not found or found[0].mint != mint:
            raise SmokeFailed(f"the deepest {symbol} of {len(found)} is not {mint}")
        return f"{len(found)} tokens call themselves {symbol}; the deepest has {found[0].liquidity_usd} USD"

    async def _of_prices(self, api: JupiterApi, chain: Chain) -> str:
        prices = await JupiterPrices(api, ChainDecimals(chain)).usd([SOL_MINT, *(m for m, _ in self.tokens.values())])
        missing = [symbol for symbol, (mint, _) in self.tokens.items() if mint not in prices]
        if SOL_MINT not in prices or missing:
            raise SmokeFailed(f"no price of {', '.join(missing) or 'SOL'}")
        return ", ".join([f"SOL {prices[SOL_MINT]} USD", *(f"{s} {prices[m]}" for s, (m, _) in self.tokens.items())])

    async def _of_second_price(self, chain: Chain, offers: dict[str, SwapOffer]) -> str:
        """How far the offers lie from the price of a source that the router has no hand in."""
        told = []
        async with second_price(self.sections.market, self.sections.router, chain, self.clock) as prices:
            for symbol, offer in offers.items():
                point = await prices.price(offer.wanted.out_mint)
                if point is None:
                    raise SmokeFailed(f"{prices.name} knows no price of {symbol}")
                paid = Fraction(offer.wanted.amount_in, offer.out_units)
                fair = Fraction(point.lamports_numerator, point.base_units_denominator)
                told.append(f"{symbol} {float((paid / fair - 1) * _BPS):+.0f} bp")
        if not told:
            raise SmokeFailed("there is no offer to hold against it")
        return f"offers against {prices.name}: {', '.join(told)}"

    # -- inside

    def _wanted(self, symbol: str) -> SwapWanted:
        return SwapWanted(self.wallet, SOL_MINT, self.tokens[symbol][0], self.lamports, SLIPPAGE_BPS)

    @asynccontextmanager
    async def _chain(self) -> AsyncIterator[SolanaChain | None]:
        if not self.sections.chain.endpoints:
            yield None
            return
        async with SolanaChain.connect(self.sections.chain, self.clock) as chain:
            yield chain

    async def _check(self, what: str, ask: Callable[[], Awaitable[str]]) -> None:
        await self._pause()
        try:
            self._note(what, "ok", await ask())
        except (TradingError, SmokeFailed) as problem:
            self._note(what, "failed", f"{type(problem).__name__}: {problem}")

    def _note(self, what: str, verdict: str, detail: str) -> None:
        self.findings.append(Finding(what, verdict, detail))


class SmokeFailed(Exception):
    """An answer came, and is not what it should be."""


def unknown_fields(model: BaseModel, at: str = "") -> list[str]:
    """Return the fields of an answer, down to the last list, that its model does not know, each once and sorted."""
    found = {f"{at}{name}" for name in model.model_extra or {}}
    for name in type(model).model_fields:
        value = getattr(model, name)
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, BaseModel):
                found.update(unknown_fields(each, f"{at}{name}."))
    return sorted(found)


def refusal(arguments: argparse.Namespace, environ: dict[str, str]) -> str:
    """Return why nothing may be asked, empty where it may."""
    if environ.get("CI"):
        return "not in CI: this asks real services"
    return "" if arguments.live else "nothing was asked: --live lets it reach the real services (it only reads)"


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="live_smoke", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--live", action="store_true", help="reach the real services; without it nothing is asked")
    parser.add_argument("--wallet", help="public key that quotes are made for (default: one made up for this run)")
    parser.add_argument("--lamports", type=int, default=LAMPORTS, help="size of the swap that is quoted")
    parser.add_argument("--symbols", default=",".join(SYMBOLS), help=f"of {', '.join(sorted(KNOWN_MINTS))}")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    live_swaps.add_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str], environ: dict[str, str]) -> int:
    """Return 0 where nothing failed, 1 where something did, 2 where nothing was asked or swapped."""
    arguments = parsed(argv)
    why_not = refusal(arguments, environ)
    if arguments.swaps and not why_not:
        return live_swaps.main(arguments, load(environ))
    symbols = [each for each in arguments.symbols.split(",") if each]
    unknown = [each for each in symbols if each not in KNOWN_MINTS]
    if why_not or unknown or not symbols:
        print(why_not or f"unknown symbols: {', '.join(unknown) or 'none given'}", file=sys.stderr)
        return 2
    wallet = arguments.wallet or str(Keypair().pubkey())
    smoke = Smoke(load(environ), {each: KNOWN_MINTS[each] for each in symbols}, wallet, lamports=arguments.lamports)
    findings = anyio.run(smoke.run)
    print(as_text(findings) if not arguments.json else orjson.dumps(list(map(asdict, findings))).decode())
    return int(any(each.verdict == "failed" for each in findings))


def as_text(findings: Sequence[Finding]) -> str:
    rows: list[Any] = [f"{each.verdict:<9} {each.what:<18} {each.detail}" for each in findings]
    counts = {verdict: sum(each.verdict == verdict for each in findings) for verdict in ("ok", "failed", "left_out")}
    return "\n".join([*rows, "", ", ".join(f"{count} {verdict}" for verdict, count in counts.items())])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
