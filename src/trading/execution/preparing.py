"""From an open intent to a signed attempt: quote, second price, build, read, simulate, sign. Nothing is sent here.

Each check can end it, and what the signer is asked to sign is the message that was read and simulated last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from solders.message import MessageV0

from trading.errors import DataError, FeedUnavailable, RouteRefused, SigningRefused
from trading.model.chain import AccountSeen, PricePoint, SignWanted, Simulated, SwapOffer, SwapWanted
from trading.model.intent import SOL_MINT, Attempt, Balances, Intent, IntentRecord
from trading.model.network import COMPUTE_UNITS_PER_TRANSACTION_MAX, TOKEN_ACCOUNT_RENT_LAMPORTS
from trading.model.units import BPS_ONE
from trading.ports import Chain, ReferencePrice, Signer, SwapRouter

from .attempts import Prepared, signed_attempt
from .price_check import Offered, PriceRules, price_problem
from .together import together
from .transactions import Built, ComputeBudget, addresses_in_table, build, is_opened, token_account, units_of
from .verifier import TOKEN_PROGRAMS, SwapBounds, all_keys, parsed, violations_of

SIMULATION_UNITS: Final = COMPUTE_UNITS_PER_TRANSACTION_MAX
LAMPORTS_LEFT_MIN: Final = 890_880
"""An account with less than this besides nothing at all is not allowed to exist (rent of an empty account)."""
OFFERS_MAX: Final = 3
EXIT_PRICE_TIMES: Final = 3
"""An exit offers so many times what the chain asks for a place, and twice that with each further attempt, within the
fee that its intent may pay."""


@dataclass(frozen=True, slots=True)
class PreparingRules:
    """``reserve_lamports``: what an entry leaves in the wallet, so that every exit can be paid. ``price_floor``: the
    least that is offered a compute unit, in micro-lamports."""

    prices: PriceRules
    tip_lamports_max: int = 0
    tip_accounts: tuple[str, ...] = ()
    reserve_lamports: Callable[[str], int] = lambda _wallet: 10_000_000
    price_floor: int = 0


@dataclass(frozen=True, slots=True)
class PreparingParts:
    """Whom it asks. ``mint_problems`` says why a mint is not to be bought, from its account: nothing where it may."""

    chain: Chain
    router: SwapRouter
    second_price: ReferencePrice
    signer: Signer
    mint_problems: Callable[[AccountSeen], Sequence[str]]
    now_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Held:
    """The wallet's accounts that a swap touches, as they are; addresses of the token accounts by mint."""

    balances: Balances
    addresses: tuple[str, str, str]
    seen: Mapping[str, AccountSeen | None]


class SwapPreparer:
    """Body of ``executor.Preparer`` over a real chain."""

    def __init__(self, parts: PreparingParts, rules: PreparingRules) -> None:
        self._parts = parts
        self._rules = rules
        self._programs: dict[str, str] = {SOL_MINT: TOKEN_PROGRAMS[0]}

    async def prepare(self, known: IntentRecord) -> Attempt:
        intent = known.intent
        # None of these needs another one's answer, and the router alone takes longer than all the others.
        async with together() as ask:
            asked_held = ask(self._held, intent)
            asked_offer = ask(self._priced_offer, intent)
            asked_point = ask(self._second_price, intent)
            asked_blockhash = ask(self._parts.chain.latest_blockhash)
        held, blockhash = asked_held.value, asked_blockhash.value
        offer, price = asked_offer.value
        self._hold_against_price(intent, offer, asked_point.value)
        price = max(self._rules.price_floor, price)
        if intent.is_exit:
            # What others pay can grow faster than a blockhash runs out, and only then may another price be offered. An
            # entry can wait, or not happen.
            price *= EXIT_PRICE_TIMES << len(known.attempts)
        widest = ComputeBudget.within(SIMULATION_UNITS, price, intent.fee_lamports_max)
        draft = build(offer, widest, blockhash.blockhash)
        async with together() as ask:
            asked_simulated = ask(self._simulated, intent, held, draft)
            asked_tables = ask(self._tables, draft)
        simulated = asked_simulated.value
        budget = ComputeBudget.fitting(simulated.compute_units, price, intent.fee_lamports_max)
        built = build(offer, budget, blockhash.blockhash)
        number = len(known.attempts) + 1
        wanted = SignWanted(
            intent_id=intent.id,
            attempt=number,
            wallet=intent.wallet,
            message=built.message,
            in_mint=intent.in_mint,
            out_mint=intent.out_mint,
            amount_in=intent.amount_in,
            min_out=intent.min_out,
            fee_lamports_max=intent.fee_lamports_max,
            last_valid_block_height=blockhash.last_valid_block_height,
            is_exit=intent.is_exit,
            venues=offer.venues,
            reason=intent.reason,
        )
        self._read(wanted, built, intent, asked_tables.value)
        prepared = Prepared(built, blockhash.blockhash, held.balances, offer.out_units, offer.quote)
        return await signed_attempt(self._parts.signer, wanted, prepared, self._parts.now_ns)

    async def _held(self, intent: Intent) -> _Held:
        """Return what the wallet has now. Raises: RouteRefused where that is not enough, or the mint is a trap."""
        chain = self._parts.chain
        pair = (intent.in_mint, intent.out_mint)
        # Before a buy the mint is read anew each time; an exit only needs to know its token program.
        mints = [mint for mint in pair if mint != SOL_MINT and not (intent.is_exit and mint in self._programs)]
        seen: Mapping[str, AccountSeen | None] = {}
        if any(mint not in self._programs for mint in mints):
            seen = await chain.accounts(mints)
            for mint in mints:
                self._learn(mint, seen[mint], intent)
        addresses = self._addresses(intent)
        if mints and not seen:
            # One question for all: the addresses follow from the program that each mint had when it was last read.
            seen = await chain.accounts([*mints, *addresses])
            for mint in mints:
                self._learn(mint, seen[mint], intent)
        if addresses != self._addresses(intent) or not all(each in seen for each in addresses):
            addresses = self._addresses(intent)
            seen = await chain.accounts(addresses)
        wallet = seen[intent.wallet]
        lamports = 0 if wallet is None else wallet.lamports
        balances = Balances(lamports, units_of(seen[addresses[1]]), units_of(seen[addresses[2]]))
        self._require_funds(intent, balances, opens=not is_opened(seen[addresses[2]]))
        return _Held(balances, addresses, seen)

    def _addresses(self, intent: Intent) -> tuple[str, str, str]:
        """Return the wallet and its accounts of both tokens."""
        accounts = [token_account(intent.wallet, m, self._programs[m]) for m in (intent.in_mint, intent.out_mint)]
        return intent.wallet, accounts[0], accounts[1]

    def _learn(self, mint: str, account: AccountSeen | None, intent: Intent) -> None:
        if account is None or account.owner not in TOKEN_PROGRAMS:
            msg = f"{mint} is no mint of this chain"
            raise RouteRefused(msg, reason="no_mint")
        self._programs[mint] = account.owner
        problems = self._parts.mint_problems(account) if mint == intent.out_mint and not intent.is_exit else ()
        if problems:
            msg = f"{mint} is not bought: {'; '.join(problems)}"
            raise RouteRefused(msg, reason="mint_refused")

    def _require_funds(self, intent: Intent, balances: Balances, *, opens: bool) -> None:
        needs = intent.fee_lamports_max + (TOKEN_ACCOUNT_RENT_LAMPORTS if opens else 0) + LAMPORTS_LEFT_MIN
        if not intent.is_exit:
            needs += self._rules.reserve_lamports(intent.wallet)
        if intent.in_mint == SOL_MINT:
            needs += intent.amount_in
        elif balances.in_units < intent.amount_in:
            msg = f"the wallet holds {balances.in_units} of {intent.in_mint}, not {intent.amount_in}"
            raise RouteRefused(msg, reason="insufficient_funds")
        if balances.lamports < needs:
            msg = f"the wallet holds {balances.lamports} lamports; {needs} are needed, fees and reserve included"
            raise RouteRefused(msg, reason="insufficient_lamports")

    async def _offer(self, intent: Intent) -> SwapOffer:
        """Return an offer that gives ``min_out`` at least; asked again with a slippage that makes it so."""
        slippage_bps = intent.slippage_bps_max
        for _ in range(OFFERS_MAX):
            wanted = SwapWanted(intent.wallet, intent.in_mint, intent.out_mint, intent.amount_in, slippage_bps)
            offer = await self._parts.router.offer(wanted)
            if offer.out_units < intent.min_out:
                msg = f"{offer.out_units} are offered, {intent.min_out} is the least that was wished"
                raise RouteRefused(msg, reason="price_moved")
            if 0 < intent.out_max < offer.out_units:
                msg = f"{offer.out_units} for that much would be cheaper than what is held: the price fell"
                raise RouteRefused(msg, reason="below_average")
            if offer.min_out_units >= intent.min_out:
                return offer
            # A basis point less than this offer needs: the next one may be a little worse.
            slippage_bps = max(0, (offer.out_units - intent.min_out) * BPS_ONE // offer.out_units - 1)
        msg = f"the router's least of {offer.min_out_units} stays below {intent.min_out}"
        raise RouteRefused(msg, reason="price_moved")

    async def _priced_offer(self, intent: Intent) -> tuple[SwapOffer, int]:
        """Return the offer, and what a compute unit is worth where it trades, in micro-lamports."""
        offer = await self._offer(intent)
        return offer, await self._price(offer)

    async def _second_price(self, intent: Intent) -> PricePoint | None:
        token = intent.out_mint if intent.in_mint == SOL_MINT else intent.in_mint
        try:
            point = await self._parts.second_price.price(token)
        except FeedUnavailable:
            return None
        return point if point is not None and point.mint == token else None

    def _hold_against_price(self, intent: Intent, offer: SwapOffer, point: PricePoint | None) -> None:
        is_buy = intent.in_mint == SOL_MINT
        amounts = (intent.amount_in, offer.out_units) if is_buy else (offer.out_units, intent.amount_in)
        offered = Offered(is_buy, intent.is_exit, *amounts)
        problem = price_problem(offered, point, self._parts.now_ns(), self._rules.prices)
        if problem:
            source = "no second price" if point is None else f"the price of {point.source}"
            msg = f"{offer.out_units} for {intent.amount_in} against {source}: {problem}"
            raise RouteRefused(msg, reason=problem)

    async def _price(self, offer: SwapOffer) -> int:
        """Return what a compute unit is worth now: what others paid, and the router's advice where that is more."""
        writable = [address for address, _, writes in offer.swap.accounts if writes]
        return max(await self._parts.chain.priority_fee(writable), offer.compute_unit_price_micro_lamports)

    async def _simulated(self, intent: Intent, held: _Held, draft: Built) -> Simulated:
        """Run the draft, and hold what it would do against what was wished."""
        simulated = await self._parts.chain.simulate(draft.unsigned, held.addresses, verifies=False)
        if simulated.error:
            msg = f"the simulation failed: {simulated.error}"
            raise RouteRefused(msg, reason="simulation_failed")
        problems = simulation_problems(intent, held.addresses, held.seen, simulated.accounts, draft.fee_lamports)
        if problems:
            msg = f"the simulation does something else: {'; '.join(problems)}"
            raise RouteRefused(msg, reason="simulation_differs")
        return simulated

    async def _tables(self, draft: Built) -> dict[str, tuple[str, ...]]:
        """Return the lookup tables that a message names, as they are on the chain and not as the router says."""
        message = parsed(draft.message)
        if not isinstance(message, MessageV0) or not message.address_table_lookups:
            return {}
        seen = await self._parts.chain.accounts([str(each.account_key) for each in message.address_table_lookups])
        return {key: addresses_in_table(account) for key, account in seen.items()}

    def _read(self, wanted: SignWanted, built: Built, intent: Intent, tables: Mapping[str, tuple[str, ...]]) -> None:
        """Read the message as the chain will."""
        message = parsed(built.message)
        if message is None:
            msg = "the message is of no known version"
            raise SigningRefused(msg, reasons=("unparseable",))
        keys = all_keys(message, tables)
        bounds = SwapBounds(
            fee_lamports_max=intent.fee_lamports_max,
            slippage_bps_max=intent.slippage_bps_max,
            tip_lamports_max=self._rules.tip_lamports_max,
            tip_accounts=self._rules.tip_accounts,
        )
        problems = ("lookup_table",) if keys is None else violations_of(message, keys, wanted, bounds)
        if problems:
            msg = f"the transaction is not the swap that was wished: {', '.join(problems)}"
            raise SigningRefused(msg, reasons=tuple(problems))


def simulation_problems(
    intent: Intent,
    addresses: Sequence[str],
    before: Mapping[str, AccountSeen | None],
    after: Mapping[str, AccountSeen | None],
    fee_lamports: int,
) -> list[str]:
    """Return what a simulation does that was not wished to the accounts at ``addresses``: wallet, in, out.

    SOL counts as one sum over the three, deposits and wrapped SOL included: who sends any to one of them, which anybody
    can, changes nothing of what the swap itself takes and gives.
    """
    try:
        units = [[units_of(seen.get(each)) for each in addresses[1:]] for seen in (before, after)]
    except DataError as error:
        return [error.message]
    taken, given = units[0][0] - units[1][0], units[1][1] - units[0][1]
    spent = _lamports_of(before, addresses) - _lamports_of(after, addresses)
    problems = []
    if intent.in_mint == SOL_MINT:
        if not intent.amount_in <= spent <= intent.amount_in + fee_lamports:
            problems.append(f"{spent} lamports leave the wallet for {intent.amount_in}")
    elif taken != intent.amount_in:
        problems.append(f"{taken} of {intent.in_mint} leave instead of {intent.amount_in}")
    if intent.out_mint == SOL_MINT:
        if -spent < intent.min_out - fee_lamports:
            problems.append(f"{-spent} lamports arrive, at least {intent.min_out - fee_lamports} were due")
    elif given < intent.min_out:
        problems.append(f"{given} of {intent.out_mint} arrive, less than {intent.min_out}")
    if SOL_MINT not in (intent.in_mint, intent.out_mint) and spent > fee_lamports:
        problems.append(f"{spent} lamports leave the wallet besides, {fee_lamports} are the fee")
    return problems


def _lamports_of(seen: Mapping[str, AccountSeen | None], addresses: Sequence[str]) -> int:
    return sum(found.lamports for each in addresses if (found := seen.get(each)) is not None)
