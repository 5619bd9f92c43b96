"""What a wallet needs beside its swaps: deposits of empty accounts brought back, profit swept to the cold address.

Both go through the same machine as a swap. Here are their signed attempts, and what a finalized one did.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trading.errors import InvalidInput, SigningRefused
from trading.model.chain import AccountSeen, SignWanted, TransactionSeen
from trading.model.intent import Attempt, Balances, Intent, IntentKind, IntentRecord, OwnAccount, Settlement
from trading.model.network import COMPUTE_UNITS_PER_TRANSACTION_MAX
from trading.ports import Chain, Signer

from .attempts import Prepared, signed_attempt
from .settlement import (
    discrepancies,
    mistaken_identity,
    round_trip_discrepancies,
    round_trip_settlement,
    settlement_of,
)
from .token_accounts import closing_problem
from .transactions import ComputeBudget, build_upkeep, token_account
from .upkeep_rules import UpkeepBounds, upkeep_violations
from .verifier import TOKEN_PROGRAMS


@dataclass(frozen=True, slots=True)
class UpkeepParts:
    """Whom it asks. ``price_floor``: the least that is offered a compute unit, in micro-lamports."""

    chain: Chain
    signer: Signer
    now_ns: Callable[[], int]
    price_floor: int = 0


class UpkeepPreparer:
    """Body of ``executor.Preparer`` for what is no swap.

    Raises besides: InvalidInput where the chain is not as the intent needs it: an account is not empty, or more would
    leave the wallet than may.
    """

    def __init__(self, parts: UpkeepParts) -> None:
        self._parts = parts

    async def prepare(self, known: IntentRecord) -> Attempt:
        intent, chain = known.intent, self._parts.chain
        watched = (intent.wallet, intent.to_address) if intent.to_address else (intent.wallet, *_addresses(intent))
        before = await chain.accounts(watched)
        _require_possible(intent, before)
        blockhash = await chain.latest_blockhash()
        price = max(self._parts.price_floor, await chain.priority_fee(watched))
        widest = ComputeBudget.within(COMPUTE_UNITS_PER_TRANSACTION_MAX, price, intent.fee_lamports_max)
        draft = build_upkeep(intent, widest, blockhash.blockhash)
        simulated = await chain.simulate(draft.unsigned, watched, verifies=False)
        if simulated.error:
            msg = f"the simulation failed: {simulated.error}"
            raise InvalidInput(msg, field="accounts" if intent.accounts else "amount_in")
        problems = simulated_problems(intent, before, simulated.accounts, draft.fee_lamports)
        if problems:
            msg = f"the simulation does something else: {'; '.join(problems)}"
            raise InvalidInput(msg, field="accounts" if intent.accounts else "amount_in")
        budget = ComputeBudget.fitting(simulated.compute_units, price, intent.fee_lamports_max)
        built = build_upkeep(intent, budget, blockhash.blockhash)
        wanted = _wanted(intent, len(known.attempts) + 1, built.message, blockhash.last_valid_block_height)
        violations = upkeep_violations(wanted, UpkeepBounds(intent.fee_lamports_max, intent.to_address))
        if violations:
            msg = f"the transaction is not what was wished: {', '.join(violations)}"
            raise SigningRefused(msg, reasons=violations)
        balances = Balances(_lamports(before, intent.wallet), 0, 0)
        prepared = Prepared(built, blockhash.blockhash, balances, intent.min_out)
        return await signed_attempt(self._parts.signer, wanted, prepared, self._parts.now_ns)


class Preparing(Protocol):
    """``executor.Preparer`` as far as it is used here."""

    async def prepare(self, known: IntentRecord) -> Attempt: ...


class EitherPreparer:
    """Body of ``executor.Preparer``: swaps by one, upkeep by the other, round trips by a third, where there is one."""

    def __init__(self, swaps: Preparing, upkeep: Preparing, round_trips: Preparing | None = None) -> None:
        self._swaps = swaps
        self._upkeep = upkeep
        self._round_trips = round_trips

    async def prepare(self, known: IntentRecord) -> Attempt:
        kind = known.intent.kind
        if kind is not IntentKind.ROUND_TRIP:
            return await (self._swaps if kind is IntentKind.SWAP else self._upkeep).prepare(known)
        if self._round_trips is None:
            msg = "round trips are not set up here"
            raise InvalidInput(msg, field="kind")
        return await self._round_trips.prepare(known)


async def own_accounts(chain: Chain, wallet: str, mints: Sequence[str]) -> dict[OwnAccount, AccountSeen | None]:
    """Return the wallet's account of each mint, under either token program, as the chain has it. Raises:
    ChainUnavailable."""
    asked = [
        OwnAccount(token_account(wallet, mint, program), mint, program) for mint in mints for program in TOKEN_PROGRAMS
    ]
    seen = await chain.accounts([each.address for each in asked]) if asked else {}
    return {each: seen[each.address] for each in asked}


def judged(intent: Intent, attempt: Attempt, seen: TransactionSeen) -> tuple[Settlement, list[str]]:
    """Return what a finalized transaction did, whatever the intent is, and everything that is not as it was signed."""
    if intent.kind is IntentKind.SWAP:
        settlement = settlement_of(intent, attempt, seen)
        return settlement, discrepancies(intent, attempt, seen, settlement)
    if intent.kind is IntentKind.ROUND_TRIP:
        settlement = round_trip_settlement(intent, attempt, seen)
        return settlement, round_trip_discrepancies(intent, attempt, seen, settlement)
    settlement = upkeep_settlement(intent, attempt, seen)
    return settlement, upkeep_discrepancies(intent, attempt, seen, settlement)


def upkeep_settlement(intent: Intent, attempt: Attempt, seen: TransactionSeen) -> Settlement:
    """Return what the transaction did, from balances before and after: ``in_units`` left the wallet beside the fee,
    ``out_units`` arrived where a sweep went, ``rent_lamports`` (below 0) came back from closed accounts."""
    rent = sum(_change(seen, each) for each in _addresses(intent))
    return Settlement(
        intent_id=intent.id,
        signature=attempt.signature,
        slot=seen.slot,
        block_time_s=seen.block_time_s,
        in_units=-_change(seen, intent.wallet) - attempt.fee_lamports - rent,
        out_units=_change(seen, intent.to_address) if intent.to_address else 0,
        fee_lamports=attempt.fee_lamports,
        tip_lamports=0,
        rent_lamports=rent,
        error=seen.error,
    )


def upkeep_discrepancies(intent: Intent, attempt: Attempt, seen: TransactionSeen, settlement: Settlement) -> list[str]:
    """Return everything about the transaction that is not as it was signed; empty: it may be booked."""
    found = mistaken_identity(intent, attempt, seen)
    moved = (settlement.in_units, settlement.out_units, settlement.rent_lamports)
    if seen.error:
        if any(moved):
            found.append(f"it failed, yet {moved[0]} left, {moved[1]} arrived, {-moved[2]} came back")
        return found
    if settlement.in_units != intent.amount_in:
        found.append(f"{settlement.in_units} lamports left the wallet instead of {intent.amount_in}")
    if intent.to_address and settlement.out_units != intent.amount_in:
        found.append(f"{settlement.out_units} lamports arrived at {intent.to_address} instead of {intent.amount_in}")
    if intent.accounts and -settlement.rent_lamports < intent.min_out:
        found.append(f"{-settlement.rent_lamports} lamports came back, at least {intent.min_out} were due")
    found.extend(
        f"the account {each} is still there" for each in _addresses(intent) if seen.lamports.get(each, (0, 1))[1]
    )
    found.extend(
        f"it moved {balance.mint} too"
        for balance in seen.tokens
        if balance.owner == intent.wallet and (balance.before_units or 0) != (balance.after_units or 0)
    )
    return found


def simulated_problems(
    intent: Intent,
    before: Mapping[str, AccountSeen | None],
    after: Mapping[str, AccountSeen | None],
    fee_lamports: int,
) -> list[str]:
    """Return what a simulation does that was not wished. What others send to an account meanwhile is no problem."""
    gained = _lamports(after, intent.wallet) - _lamports(before, intent.wallet)
    problems = []
    if gained < intent.min_out * bool(intent.accounts) - intent.amount_in - fee_lamports:
        problems.append(f"the wallet's balance changes by {gained} lamports")
    if intent.to_address:
        arrived = _lamports(after, intent.to_address) - _lamports(before, intent.to_address)
        if arrived < intent.amount_in:
            problems.append(f"{arrived} lamports arrive instead of {intent.amount_in}")
    problems += [f"{each} stays open" for each in _addresses(intent) if _lamports(after, each)]
    return problems


def _require_possible(intent: Intent, seen: Mapping[str, AccountSeen | None]) -> None:
    """Raises: InvalidInput where the chain is not as the intent needs it."""
    held = _lamports(seen, intent.wallet)
    needs = intent.amount_in + intent.fee_lamports_max + intent.leaves_lamports
    if held < needs:
        msg = f"the wallet holds {held} lamports; {needs} are needed, with what stays"
        raise InvalidInput(msg, field="amount_in")
    wrong = {
        each.address: problem
        for each in intent.accounts
        if (problem := closing_problem(each, seen[each.address], intent.wallet))
    }
    if wrong:
        told = ", ".join(f"{address} is {problem}" for address, problem in wrong.items())
        msg = f"not to be closed: {told}"
        raise InvalidInput(msg, field="accounts")


def _wanted(intent: Intent, attempt: int, message: bytes, last_valid_block_height: int) -> SignWanted:
    return SignWanted(
        intent_id=intent.id,
        attempt=attempt,
        wallet=intent.wallet,
        message=message,
        in_mint=intent.in_mint,
        out_mint=intent.out_mint,
        amount_in=intent.amount_in,
        min_out=intent.min_out,
        fee_lamports_max=intent.fee_lamports_max,
        last_valid_block_height=last_valid_block_height,
        is_exit=intent.is_exit,
        kind=intent.kind,
        to_address=intent.to_address,
        accounts=intent.accounts,
    )


def _addresses(intent: Intent) -> tuple[str, ...]:
    return tuple(each.address for each in intent.accounts)


def _lamports(seen: Mapping[str, AccountSeen | None], address: str) -> int:
    found = seen.get(address)
    return 0 if found is None else found.lamports


def _change(seen: TransactionSeen, address: str) -> int:
    before, after = seen.lamports.get(address, (0, 0))
    return after - before
