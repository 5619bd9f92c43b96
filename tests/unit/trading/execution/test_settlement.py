"""What a finalized transaction did, to the lamport: deposits, wrapped SOL and gifts told apart from the swap."""

from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from trading.execution.settlement import discrepancies, settlement_of
from trading.execution.verifier import TOKEN_PROGRAMS, associated
from trading.model.chain import TokenBalance, TransactionSeen
from trading.model.intent import SOL_MINT, Attempt, Balances, Intent, Settlement

WALLET, FROG, TOAD = (str(Pubkey.from_bytes(bytes([each]) * 32)) for each in (7, 8, 9))
WRAPPED, FROGS, TOADS = (associated(WALLET, mint, TOKEN_PROGRAMS[0]) for mint in (SOL_MINT, FROG, TOAD))
RENT, FEE, SOL = 2_039_280, 5_200, 10**9
BUY = Intent("int_1", "run/1", WALLET, SOL_MINT, FROG, SOL, 900, 300, 50_000, 3, 0, 1, False)
SALE = replace(BUY, in_mint=FROG, out_mint=SOL_MINT, amount_in=1_000, min_out=SOL)
CROSS = replace(BUY, in_mint=FROG, out_mint=TOAD, amount_in=1_000, min_out=900)
ATTEMPT = Attempt("int_1", 1, "sig", b"raw", "hash", 1, 1_000, FEE, Balances(0, 0, 0), 0)


def seen(lamports: dict[str, tuple[int, int]], *tokens: TokenBalance, error: str = "") -> TransactionSeen:
    return TransactionSeen("sig", 5, None, error, WALLET, lamports, tokens, raw=b"raw")


def judged(intent: Intent, at: TransactionSeen, attempt: Attempt = ATTEMPT) -> tuple[Settlement, list[str]]:
    settlement = settlement_of(intent, attempt, at)
    return settlement, discrepancies(intent, attempt, at, settlement)


BOUGHT = seen(
    {WALLET: (5 * SOL, 4 * SOL - RENT - FEE), FROGS: (0, RENT)}, TokenBalance(FROGS, WALLET, FROG, None, 1_000)
)
SOLD = seen({WALLET: (SOL, 2 * SOL - FEE), FROGS: (RENT, RENT)}, TokenBalance(FROGS, WALLET, FROG, 1_000, 0))
CROSSED = seen(
    {WALLET: (SOL, SOL - FEE - RENT), FROGS: (RENT, RENT), TOADS: (0, RENT)},
    TokenBalance(FROGS, WALLET, FROG, 1_000, 0),
    TokenBalance(TOADS, WALLET, TOAD, None, 900),
)


def test_a_buy_that_opens_its_account_is_booked_to_the_lamport() -> None:
    found, wrong = judged(BUY, BOUGHT)
    assert wrong == []
    assert (found.in_units, found.out_units, found.fee_lamports, found.rent_lamports) == (SOL, 1_000, FEE, RENT)


def test_a_sale_is_booked_to_the_lamport() -> None:
    found, wrong = judged(SALE, SOLD)
    assert wrong == []
    assert (found.in_units, found.out_units, found.rent_lamports) == (1_000, SOL, 0)


def test_wrapped_sol_that_was_there_before_is_no_profit() -> None:
    # Its account, deposit and 77 lamports wrapped, is closed by the buy.
    lamports = {WALLET: (5 * SOL, 4 * SOL - FEE + 77 + RENT), FROGS: (RENT, RENT), WRAPPED: (RENT + 77, 0)}
    tokens = TokenBalance(FROGS, WALLET, FROG, 0, 1_000), TokenBalance(WRAPPED, WALLET, SOL_MINT, 77, None)
    found, wrong = judged(BUY, seen(lamports, *tokens))
    assert wrong == []
    assert (found.in_units, found.rent_lamports) == (SOL, -RENT)


def test_lamports_that_somebody_sent_to_an_account_before_it_was_opened_are_no_profit() -> None:
    lamports = {**SOLD.lamports, WALLET: (SOL, 2 * SOL - FEE + 890_880), WRAPPED: (890_880, 0)}
    found, wrong = judged(SALE, replace(SOLD, lamports=lamports))
    assert wrong == []
    assert (found.out_units, found.rent_lamports) == (SOL, -890_880)


def test_a_failure_costs_its_fee_and_nothing_else() -> None:
    failed = seen({WALLET: (SOL, SOL - FEE)}, error='{"InstructionError":[3,{"Custom":6001}]}')
    tipped = replace(ATTEMPT, tip_lamports=10_000)
    found, wrong = judged(BUY, failed, tipped)
    assert wrong == []
    assert (found.in_units, found.out_units, found.fee_lamports, found.tip_lamports) == (0, 0, FEE, 0)


def test_a_tip_is_told_apart() -> None:
    lamports = {**SOLD.lamports, WALLET: (SOL, 2 * SOL - FEE - 10_000)}
    found, wrong = judged(SALE, replace(SOLD, lamports=lamports), replace(ATTEMPT, tip_lamports=10_000))
    assert wrong == []
    assert (found.out_units, found.tip_lamports) == (SOL, 10_000)


def test_tokens_for_tokens_take_no_sol() -> None:
    assert judged(CROSS, CROSSED)[1] == []


STRANGER = TokenBalance("elsewhere", WALLET, TOAD, 5, 4)
NOT_AS_SIGNED = {
    "another transaction": (BUY, replace(BOUGHT, signature="other"), "another transaction"),
    "other bytes": (BUY, replace(BOUGHT, raw=b"other"), "bytes"),
    "another payer": (BUY, replace(BOUGHT, payer=FROG), "fee was paid by"),
    "without the wallet": (BUY, replace(BOUGHT, lamports={FROGS: (0, RENT)}), "none of its accounts"),
    "more spent": (BUY, replace(BOUGHT, lamports={**BOUGHT.lamports, WALLET: (5 * SOL, 3 * SOL)}), "instead of"),
    "too little": (replace(BUY, min_out=1_001), BOUGHT, "less than"),
    "another token": (BUY, replace(BOUGHT, tokens=(*BOUGHT.tokens, STRANGER)), f"moved {TOAD}"),
    "sol beside tokens": (
        CROSS,
        replace(CROSSED, lamports={**CROSSED.lamports, WALLET: (SOL, SOL - FEE - RENT - 1)}),
        "1 lamports left",
    ),
    "failed and moved": (BUY, replace(BOUGHT, error="failed"), "it failed, yet"),
    "failed and paid": (
        CROSS,
        seen({WALLET: (SOL, SOL - FEE - 1)}, error="failed"),
        "1 lamports left",
    ),
}


@pytest.mark.parametrize("name", NOT_AS_SIGNED)
def test_what_is_not_as_it_was_signed_waits_for_a_person(name: str) -> None:
    intent, at, said = NOT_AS_SIGNED[name]
    assert any(said in each for each in judged(intent, at)[1])
