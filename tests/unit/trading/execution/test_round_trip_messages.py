"""Round trips as the desk and the signer read them: two swaps of which the second gives what the first brings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import pytest
from solders.instruction import Instruction
from solders.message import MessageV0
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from tests.doubles.signer_parts import SetChain
from tests.support.bent_swaps import wide
from tests.support.signing import KEY, SOL
from tests.support.swap_messages import AMOUNT, ME, STRANGER, Market, budget, close, create, sync, transfer

from trading.execution.transactions import token_account
from trading.model.chain import SignWanted
from trading.model.intent import IntentKind, OwnAccount
from trading.rehearsal.pools import make_pool
from trading.rehearsal.tokens import NATIVE_MINT, TOKEN_PROGRAM, associated
from trading.signing.messages import SwapMessages

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
MARKET: Final = Market()
DEAR: Final = make_pool(MARKET.cluster, MARKET.token, 1_000 * SOL, 9 * 10**11, fee_bps=30)
QUOTED: Final = MARKET.quoted
LEAST: Final = QUOTED * 9_990 // 10_000
BACK: Final = DEAR.quote(MARKET.cluster, MARKET.token, LEAST)


def first(amount: int = AMOUNT, slippage_bps: int = 10) -> Instruction:
    return MARKET.swap(slippage_bps, amount, QUOTED)


def second(amount: int = LEAST, quoted: int = BACK, slippage_bps: int = 20) -> Instruction:
    return DEAR.instruction(ME, MARKET.token, amount, quoted, slippage_bps)


def parts(*swaps: Instruction) -> list[Instruction]:
    wrapped = associated(ME, NATIVE_MINT)
    setup = [create(NATIVE_MINT), transfer(wrapped, AMOUNT), sync(), create(MARKET.token)]
    return [*budget(), *setup, *swaps, close()]


def wanted(message: bytes, **changes: object) -> SignWanted:
    mint = str(MARKET.token)
    account = OwnAccount(token_account(str(ME), mint, str(TOKEN_PROGRAM)), mint, str(TOKEN_PROGRAM))
    usual = {
        "out_mint": str(NATIVE_MINT),
        "min_out": BACK * 9_980 // 10_000,
        "kind": IntentKind.ROUND_TRIP,
        "accounts": (account,),
    }
    return replace(MARKET.wanted(message), **(usual | changes))  # type: ignore[arg-type]


async def problems(made: Sequence[Instruction], **changes: object) -> tuple[str, ...]:
    return await SwapMessages().violations(wanted(MARKET.message(made), **changes), wide(), SetChain())


async def test_the_good_round_trip_is_taken_and_really_wins() -> None:
    message = MARKET.message(parts(first(), second()))
    assert await problems(parts(first(), second())) == ()
    had = MARKET.cluster.account(ME)
    signature = Signature.from_bytes(KEY.sign(message))
    MARKET.cluster.submit(bytes(VersionedTransaction.populate(MessageV0.from_bytes(message[1:]), [signature])))
    MARKET.cluster.tick()
    assert MARKET.cluster.executed[str(signature)].error is None
    has = MARKET.cluster.account(ME)
    assert had is not None
    assert has is not None
    assert has.lamports > had.lamports + SOL // 200


Bent = Callable[[], list[Instruction]]
BENT: Final[dict[str, tuple[Bent, str]]] = {
    "only the first": (lambda: parts(first()), "swaps"),
    "only the second": (lambda: parts(second()), "swap_source"),
    "a third": (lambda: parts(first(), second(), second()), "swaps"),
    "the second first": (lambda: parts(second(), first()), "swap_source"),
    "the first twice": (lambda: parts(first(), first()), "swap_source"),
    "more than was wished is given": (lambda: parts(first(AMOUNT + 1), second()), "amount_in"),
    "the second gives what the wallet held": (lambda: parts(first(), second(LEAST + 1)), "amount_in"),
    "the first may bring less than the second gives": (lambda: parts(first(slippage_bps=11), second()), "amount_in"),
    "nothing is given by the second": (lambda: parts(first(), second(0)), "amount_in"),
    "less may come back": (lambda: parts(first(), second(slippage_bps=21)), "min_out"),
    "anything may come back": (lambda: parts(first(), second(quoted=0)), "min_out"),
    "lamports for a stranger": (lambda: [*parts(first(), second()), transfer(STRANGER, 1)], "system_transfer"),
    "what came back is closed to a stranger": (
        lambda: [*parts(first(), second())[:-1], close(to=STRANGER)],
        "token_instruction",
    ),
    "more is wrapped": (
        lambda: [*parts(first(), second()), transfer(associated(ME, NATIVE_MINT), 1)],
        "system_transfer",
    ),
}


@pytest.mark.parametrize("name", BENT)
async def test_a_bent_round_trip_is_refused_by_name(name: str) -> None:
    made, told = BENT[name]
    assert told in await problems(made())


async def test_one_that_may_lose_is_refused_whatever_it_does() -> None:
    fee_lamports_max = 100_000
    made = parts(first(), second())
    assert await problems(made, min_out=AMOUNT + fee_lamports_max + 1) == ()
    assert await problems(made, min_out=AMOUNT + fee_lamports_max) == ("min_out",)
    assert await problems(made, accounts=()) == ("accounts",)
    assert await problems(made, kind=IntentKind.SWAP, out_mint=str(MARKET.token)) != ()
