"""SOL for a token and that for SOL again, in one transaction that lands whole or not at all.

Both swaps are offers of the router, each for its own direction, so they may be of different pools. The second gives
what the first brings at least, and brings back more than everything costs, or the chain takes back both: only the fee
is lost then. What the first brings more than its least stays in the wallet as the token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from solders.message import MessageV0

from trading.errors import DataError, InvalidInput, RouteRefused, SigningRefused
from trading.model.chain import AccountSeen, SignWanted, Simulated, SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT, Attempt, Balances, Intent, IntentRecord
from trading.model.network import COMPUTE_UNITS_PER_TRANSACTION_MAX, TOKEN_ACCOUNT_RENT_LAMPORTS
from trading.model.units import BPS_ONE

from .attempts import Prepared, signed_attempt
from .preparing import LAMPORTS_LEFT_MIN, PreparingParts, PreparingRules
from .together import together
from .transactions import (
    UNITS_MARGIN_BPS,
    Built,
    ComputeBudget,
    addresses_in_table,
    build,
    is_opened,
    token_account,
    units_of,
)
from .verifier import TOKEN_PROGRAMS, SwapBounds, all_keys, parsed, violations_of

DOES_NOT_FIT: Final = "does_not_fit"
"""One transaction cannot hold both swaps: too many bytes, or too much computing."""
_ACCOUNTS_EACH: Final = 28
"""So many accounts each route may have: both together have to go into one transaction."""


@dataclass(frozen=True, slots=True)
class Both:
    """The two offers, and what goes out as one."""

    there: SwapOffer
    back: SwapOffer
    whole: SwapOffer


class RoundTripPreparer:
    """Body of ``executor.Preparer`` for round trips.

    Raises RouteRefused with the reason ``does_not_fit`` where one transaction cannot hold both swaps. No second price
    is asked for: whatever the token is worth, the transaction brings more SOL than it takes or does not happen.
    """

    def __init__(self, parts: PreparingParts, rules: PreparingRules, first_slippage_bps: int = 10) -> None:
        """``first_slippage_bps``: what the first swap may bring less than was offered. The second gives so much less
        for certain, so it is little: that the price moved by more costs a fee, and no trip."""
        self._parts = parts
        self._rules = rules
        self._first_slippage_bps = first_slippage_bps

    async def prepare(self, known: IntentRecord) -> Attempt:
        intent, chain = known.intent, self._parts.chain
        (between,) = intent.accounts
        addresses = (intent.wallet, token_account(intent.wallet, SOL_MINT, TOKEN_PROGRAMS[0]), between.address)
        async with together() as ask:
            asked_seen = ask(chain.accounts, [*addresses, between.mint])
            asked_offers = ask(self._offers, intent)
            asked_blockhash = ask(chain.latest_blockhash)
        seen, both, blockhash = asked_seen.value, asked_offers.value, asked_blockhash.value
        balances = self._balances(intent, seen, addresses)
        writable = [address for each in (both.there, both.back) for address, _, writes in each.swap.accounts if writes]
        price = max(
            self._rules.price_floor,
            await chain.priority_fee(list(dict.fromkeys(writable))),
            *(each.compute_unit_price_micro_lamports for each in (both.there, both.back)),
        )
        widest = ComputeBudget.within(COMPUTE_UNITS_PER_TRANSACTION_MAX, price, intent.fee_lamports_max)
        draft = _built(both.whole, widest, blockhash.blockhash)
        async with together() as ask:
            asked_simulated = ask(self._simulated, intent, draft, addresses, seen)
            asked_tables = ask(self._tables, draft)
        budget = ComputeBudget.fitting(asked_simulated.value.compute_units, price, intent.fee_lamports_max)
        built = _built(both.whole, budget, blockhash.blockhash)
        wanted = SignWanted(
            intent_id=intent.id,
            attempt=len(known.attempts) + 1,
            wallet=intent.wallet,
            message=built.message,
            in_mint=intent.in_mint,
            out_mint=intent.out_mint,
            amount_in=intent.amount_in,
            min_out=intent.min_out,
            fee_lamports_max=intent.fee_lamports_max,
            last_valid_block_height=blockhash.last_valid_block_height,
            is_exit=False,
            venues=tuple(dict.fromkeys((*both.there.venues, *both.back.venues))),
            reason=intent.reason,
            kind=intent.kind,
            accounts=intent.accounts,
        )
        self._read(wanted, intent.slippage_bps_max, built, asked_tables.value)
        quote = f"[{both.there.quote or 'null'},{both.back.quote or 'null'}]"
        prepared = Prepared(built, blockhash.blockhash, balances, both.back.out_units, quote)
        return await signed_attempt(self._parts.signer, wanted, prepared, self._parts.now_ns)

    async def _offers(self, intent: Intent) -> Both:
        """Return offers whose least brings the intent's least. Raises: RouteRefused."""
        (between,), router = intent.accounts, self._parts.router
        slippage_bps = min(self._first_slippage_bps, intent.slippage_bps_max)
        asked = SwapWanted(intent.wallet, SOL_MINT, between.mint, intent.amount_in, slippage_bps, _ACCOUNTS_EACH)
        there = await router.offer(asked)
        pair = {"in_mint": between.mint, "out_mint": SOL_MINT, "slippage_bps": intent.slippage_bps_max}
        # The chain rounds what is due down, and a router may tell it rounded up.
        least = min(there.min_out_units, there.out_units * (BPS_ONE - slippage_bps) // BPS_ONE)
        asked = replace(asked, amount_in=least, **pair)  # type: ignore[arg-type]
        back = await router.offer(asked)
        if back.out_units < intent.min_out:
            msg = f"{back.out_units} lamports would come back, {intent.min_out} is the least that was wished"
            raise RouteRefused(msg, reason="price_moved")
        if back.min_out_units < intent.min_out:
            # As much less as may come back and still be enough.
            room = (back.out_units - intent.min_out) * BPS_ONE // back.out_units
            back = await router.offer(replace(asked, slippage_bps=max(0, room - 1)))
        if back.min_out_units < intent.min_out:
            msg = f"the router's least of {back.min_out_units} stays below {intent.min_out}"
            raise RouteRefused(msg, reason="price_moved")
        return Both(there, back, whole_of(there, back))

    def _balances(self, intent: Intent, seen: Mapping[str, AccountSeen | None], addresses: Sequence[str]) -> Balances:
        """Return what the wallet has. Raises: RouteRefused where that is not enough, or the token is a trap."""
        (between,) = intent.accounts
        mint = seen[between.mint]
        if mint is None or mint.owner != between.program:
            msg = f"{between.mint} is no mint of the program {between.program}"
            raise RouteRefused(msg, reason="no_mint")
        problems = self._parts.mint_problems(mint)
        if problems:
            msg = f"{between.mint} is not bought: {'; '.join(problems)}"
            raise RouteRefused(msg, reason="mint_refused")
        wallet = seen[intent.wallet]
        lamports = 0 if wallet is None else wallet.lamports
        needs = intent.amount_in + intent.fee_lamports_max + LAMPORTS_LEFT_MIN
        needs += self._rules.reserve_lamports(intent.wallet)
        needs += TOKEN_ACCOUNT_RENT_LAMPORTS * sum(not is_opened(seen[each]) for each in addresses[1:])
        if lamports < needs:
            msg = f"the wallet holds {lamports} lamports; {needs} are needed, fees, deposits and reserve included"
            raise RouteRefused(msg, reason="insufficient_lamports")
        return Balances(lamports, units_of(seen[addresses[1]]), units_of(seen[addresses[2]]))

    async def _simulated(
        self, intent: Intent, draft: Built, addresses: Sequence[str], before: Mapping[str, AccountSeen | None]
    ) -> Simulated:
        """Run the draft, and hold what it would do against what was wished."""
        simulated = await self._parts.chain.simulate(draft.unsigned, addresses, verifies=False)
        if simulated.compute_units * UNITS_MARGIN_BPS > COMPUTE_UNITS_PER_TRANSACTION_MAX * BPS_ONE:
            msg = f"{DOES_NOT_FIT}: both swaps use {simulated.compute_units} units, and a margin has to be left"
            raise RouteRefused(msg, reason=DOES_NOT_FIT)
        if simulated.error:
            msg = f"the simulation failed: {simulated.error}"
            raise RouteRefused(msg, reason="simulation_failed")
        try:
            kept = units_of(simulated.accounts.get(addresses[2])) - units_of(before[addresses[2]])
        except DataError as error:
            raise RouteRefused(error.message, reason="simulation_differs") from error
        gained = _lamports(simulated.accounts, addresses) - _lamports(before, addresses)
        due = intent.min_out - intent.amount_in - draft.fee_lamports
        if gained < due or kept < 0:
            msg = f"the simulation does something else: {gained} lamports are won, {due} were due; {kept} tokens stay"
            raise RouteRefused(msg, reason="simulation_differs")
        return simulated

    async def _tables(self, draft: Built) -> dict[str, tuple[str, ...]]:
        """Return the lookup tables that a message names, as they are on the chain and not as the router says."""
        message = parsed(draft.message)
        if not isinstance(message, MessageV0) or not message.address_table_lookups:
            return {}
        seen = await self._parts.chain.accounts([str(each.account_key) for each in message.address_table_lookups])
        return {key: addresses_in_table(account) for key, account in seen.items()}

    def _read(
        self, wanted: SignWanted, slippage_bps_max: int, built: Built, tables: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Read the message as the chain will. Raises: SigningRefused."""
        message = parsed(built.message)
        keys = None if message is None else all_keys(message, tables)
        if message is None or keys is None:
            problems: tuple[str, ...] = ("unparseable" if message is None else "lookup_table",)
        else:
            bounds = SwapBounds(
                fee_lamports_max=wanted.fee_lamports_max,
                slippage_bps_max=slippage_bps_max,
                tip_lamports_max=self._rules.tip_lamports_max,
                tip_accounts=self._rules.tip_accounts,
            )
            problems = violations_of(message, keys, wanted, bounds)
        if problems:
            msg = f"the transaction is not the round trip that was wished: {', '.join(problems)}"
            raise SigningRefused(msg, reasons=problems)


def whole_of(there: SwapOffer, back: SwapOffer) -> SwapOffer:
    """Return both offers as one: what is set up is set up once, and what is cleaned up is cleaned up at the end."""
    setup = (*there.setup, *(each for each in back.setup if each not in there.setup))
    # Wrapped SOL is closed once, after it came back; closed in between there would be nowhere for it to come to.
    others = (back.swap, *back.cleanup, *there.others, *back.others)
    return replace(
        there, setup=setup, cleanup=(), others=others, lookup_tables=there.lookup_tables | back.lookup_tables
    )


def _built(whole: SwapOffer, budget: ComputeBudget, blockhash: str) -> Built:
    """Raises: RouteRefused where one transaction cannot hold it."""
    try:
        return build(whole, budget, blockhash)
    except InvalidInput as error:
        msg = f"{DOES_NOT_FIT}: {error.message}"
        raise RouteRefused(msg, reason=DOES_NOT_FIT) from error


def _lamports(seen: Mapping[str, AccountSeen | None], addresses: Sequence[str]) -> int:
    return sum(found.lamports for each in addresses if (found := seen.get(each)) is not None)
