"""What a finalized transaction did to a wallet, to the last unit: from balances before and after, never from a quote.

The chain charges what the bytes of the transaction say: 5,000 lamports a signature and the compute price times its
limit (solana.com/docs/core/fees). That is known before sending, so a balance that does not fit is a discrepancy, and a
person has to look at it.
"""

from dataclasses import replace
from typing import Final

from trading.model.chain import TokenBalance, TransactionSeen
from trading.model.intent import SOL_MINT, Attempt, Intent, Settlement

from .verifier import TOKEN_PROGRAMS, associated

NATIVE: Final = SOL_MINT


def settlement_of(intent: Intent, attempt: Attempt, seen: TransactionSeen) -> Settlement:
    """Return what the transaction took and gave, in base units, with what else it cost told apart.

    SOL counts as one sum over the wallet, its wrapped SOL and the deposits of its token accounts, so a deposit only
    changes its place. What the swap itself took or gave of it is the change of that sum without fee and tip.
    """
    rent = sum(_deposit_change(seen, account) for account in _own_accounts(intent, seen))
    tip = 0 if seen.error else attempt.tip_lamports
    spent = -_sol_change(intent, seen) - attempt.fee_lamports - tip
    units = {mint: _token_change(intent, seen, mint) for mint in (intent.in_mint, intent.out_mint)}
    return Settlement(
        intent_id=intent.id,
        signature=attempt.signature,
        slot=seen.slot,
        block_time_s=seen.block_time_s,
        in_units=spent if intent.in_mint == NATIVE else -units[intent.in_mint],
        out_units=-spent if intent.out_mint == NATIVE else units[intent.out_mint],
        fee_lamports=attempt.fee_lamports,
        tip_lamports=tip,
        rent_lamports=rent,
        error=seen.error,
    )


def discrepancies(intent: Intent, attempt: Attempt, seen: TransactionSeen, settlement: Settlement) -> list[str]:
    """Return everything about the transaction that is not as it was signed; empty: it may be booked."""
    found = mistaken_identity(intent, attempt, seen)
    if NATIVE not in {intent.in_mint, intent.out_mint}:
        lost = -_sol_change(intent, seen) - settlement.fee_lamports - settlement.tip_lamports
        if lost:
            found.append(f"{lost} lamports left the wallet besides fee and tip")
    if seen.error:
        if settlement.in_units or settlement.out_units or settlement.rent_lamports:
            found.append(
                f"it failed, yet {settlement.in_units} of {intent.in_mint} and {settlement.out_units} of "
                f"{intent.out_mint} moved"
            )
        return found
    if settlement.in_units != intent.amount_in:
        found.append(f"it took {settlement.in_units} of {intent.in_mint} instead of {intent.amount_in}")
    if settlement.out_units < intent.min_out:
        found.append(f"it gave {settlement.out_units} of {intent.out_mint}, less than {intent.min_out}")
    found.extend(
        f"it moved {balance.mint} too"
        for balance in _own(intent, seen)
        if balance.mint not in {intent.in_mint, intent.out_mint, NATIVE}
        and (balance.before_units or 0) != (balance.after_units or 0)
    )
    return found


def round_trip_settlement(intent: Intent, attempt: Attempt, seen: TransactionSeen) -> Settlement:
    """Return what a round trip took and brought: ``out_units`` is ``in_units`` and what is won, fees not counted."""
    found = settlement_of(intent, attempt, seen)
    if seen.error:
        return found
    return replace(found, in_units=intent.amount_in, out_units=intent.amount_in + found.out_units)


def round_trip_discrepancies(
    intent: Intent, attempt: Attempt, seen: TransactionSeen, settlement: Settlement
) -> list[str]:
    """Return everything about a round trip that is not as it was signed; empty: it may be booked."""
    found = mistaken_identity(intent, attempt, seen)
    between = [_token_change(intent, seen, each.mint) for each in intent.accounts]
    if seen.error:
        moved = (settlement.in_units, settlement.rent_lamports, *between)
        return [*found, f"it failed, yet {moved} moved"] if any(moved) else found
    if settlement.out_units < intent.min_out:
        found.append(f"it brought {settlement.out_units} lamports, less than {intent.min_out}")
    found.extend(f"{-each} of the token between left the wallet" for each in between if each < 0)
    return found


def mistaken_identity(intent: Intent, attempt: Attempt, seen: TransactionSeen) -> list[str]:
    """Return why the transaction is not the attempt that it is said to be."""
    found = []
    if seen.signature != attempt.signature:
        found.append(f"it is another transaction: {seen.signature}")
    if seen.raw and seen.raw != attempt.raw:
        found.append("its bytes are not those that were signed")
    if seen.payer != intent.wallet:
        found.append(f"its fee was paid by {seen.payer}")
    if intent.wallet not in seen.lamports:
        found.append("the wallet is none of its accounts")
    return found


def _own(intent: Intent, seen: TransactionSeen) -> list[TokenBalance]:
    return [balance for balance in seen.tokens if balance.owner == intent.wallet]


def _token_change(intent: Intent, seen: TransactionSeen, mint: str) -> int:
    return sum(
        (balance.after_units or 0) - (balance.before_units or 0)
        for balance in _own(intent, seen)
        if balance.mint == mint
    )


def _own_accounts(intent: Intent, seen: TransactionSeen) -> set[str]:
    """Return the wallet's token accounts in the transaction. One that was opened and closed in it has no balances, but
    it may have had lamports before: anybody can send some there, and closing it gives them to the wallet."""
    mints = {intent.in_mint, intent.out_mint, NATIVE, *(each.mint for each in intent.accounts)}
    addresses = {associated(intent.wallet, mint, program) for mint in mints for program in TOKEN_PROGRAMS}
    return {balance.account for balance in _own(intent, seen)} | (addresses & seen.lamports.keys())


def _deposit_change(seen: TransactionSeen, account: str) -> int:
    """Return by how much the deposit of a token account grew; wrapped SOL in it is no deposit."""
    before, after = seen.lamports.get(account, (0, 0))
    wrapped = [each for each in seen.tokens if each.account == account and each.mint == NATIVE]
    for each in wrapped:
        before, after = before - (each.before_units or 0), after - (each.after_units or 0)
    return after - before


def _sol_change(intent: Intent, seen: TransactionSeen) -> int:
    """Return the change of all SOL that is the wallet's: its own, wrapped, and deposits."""
    accounts = {intent.wallet, *_own_accounts(intent, seen)}
    return sum(after - before for before, after in (seen.lamports.get(each, (0, 0)) for each in accounts))
