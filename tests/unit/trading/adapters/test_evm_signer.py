"""The key of an EVM account and what it signs."""

import copy
import pickle
from dataclasses import replace

import pytest
from eth_account import Account
from pydantic import SecretStr

from trading.adapters.evm.signer import EvmKey, MandatedSigner, expected_call
from trading.errors import InvalidInput, NotArmed, SigningRefused
from trading.model.evm import BASE_CHAIN_ID, EvmIntent, EvmKind, EvmMandate, EvmTx, PoolKind, PoolRef

SECRET = "0x" + "4c" * 32
ACCOUNT = "0xdb00079cad3e665853bf766efe26f4c38cdbdcda"
ROUTER, POOL = "0x" + "aa" * 20, "0x" + "bb" * 20
TOKEN_0, TOKEN_1 = "0x" + "01" * 20, "0x" + "02" * 20
REF = PoolRef(POOL, PoolKind.CONCENTRATED, TOKEN_0, TOKEN_1, 500, 10)
MANDATE = EvmMandate(31_337, ACCOUNT, ROUTER, (REF,), {TOKEN_0: 1_000}, {TOKEN_0: 5_000}, 10**15)
INTENT = EvmIntent("evm-1", "k", ACCOUNT, REF, TOKEN_0, TOKEN_1, 1_000, 900, 10**15, 3, 0, 60_000_000_000)
NOW_NS = 1_000


def transaction(intent: EvmIntent = INTENT, mandate: EvmMandate = MANDATE, **changes: object) -> EvmTx:
    to, data = expected_call(mandate, intent)
    return replace(EvmTx(mandate.chain_id, 7, to, data, 200_000, 10**9, 10**6), **changes)  # type: ignore[arg-type]


def signer(mandate: EvmMandate = MANDATE) -> MandatedSigner:
    return MandatedSigner(EvmKey(SecretStr(SECRET)), mandate)


def test_what_is_signed_is_recovered_as_ours_with_the_hash_that_is_told() -> None:
    tx_hash, raw = signer().sign(transaction(), INTENT, NOW_NS)
    assert Account.recover_transaction(raw).lower() == ACCOUNT
    assert tx_hash.startswith("0x")
    assert len(tx_hash) == 66
    assert (tx_hash, raw) == signer().sign(transaction(), INTENT, NOW_NS)


def test_a_key_shows_its_address_and_nothing_else() -> None:
    key = EvmKey(SecretStr(SECRET))
    shown = f"{key!r} {key!s} {key:>60} {vars(MandatedSigner(key, MANDATE))} {[key]}"
    assert "4c4c" not in shown
    assert ACCOUNT in shown
    for copies in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied and not pickled"):
            copies(key)


def test_a_guard_says_what_needs_an_armed_desk_and_what_moves_nothing_never_does() -> None:
    live = replace(MANDATE, chain_id=BASE_CHAIN_ID)
    guarded = MandatedSigner(
        EvmKey(SecretStr(SECRET)), live, lambda intent, _now_ns: "disarmed" if intent.key == "first" else ""
    )
    first = replace(INTENT, key="first")
    assert guarded.sign(transaction(mandate=live), INTENT, NOW_NS)
    with pytest.raises(NotArmed, match="disarmed"):
        guarded.sign(transaction(mandate=live), first, NOW_NS)
    empty = transaction(mandate=live, to=ACCOUNT, data=b"", gas=21_000)
    assert guarded.sign(empty, first, NOW_NS)


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32, SECRET + "00"])
def test_a_key_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        EvmKey(SecretStr(text))
    assert caught.value.message == "a key is 0x and 64 hex digits"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain_id": 1}, "chain 1 is not 31337"),
        ({"to": POOL}, "it does something else than its intent"),
        ({"data": b""}, "it does something else than its intent"),
        ({"gas": 2_000_000}, "gas 2000000 is more than 1000000"),
        ({"max_fee_wei": 10**11}, "it may cost 20000000000000000 wei, and 1000000000000000 are allowed"),
        ({"tip_wei": 10**10}, "the tip 10000000000 is more than the whole fee"),
    ],
)
def test_a_transaction_that_is_not_the_intents_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(SigningRefused) as caught:
        signer().sign(transaction(**changes), INTENT, NOW_NS)
    assert reason in caught.value.reasons


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_in": 1_001}, f"1001 of {TOKEN_0} is more than 1000"),
        ({"in_token": TOKEN_1, "out_token": TOKEN_0}, f"1000 of {TOKEN_1} is more than 0"),
        ({"pool": replace(REF, address=ROUTER)}, f"pool {ROUTER} is not in the mandate"),
        ({"account": POOL}, f"account {POOL} is not {ACCOUNT}"),
        ({"min_out": 0}, "nothing may be given for less than one unit"),
    ],
)
def test_an_intent_outside_of_the_mandate_is_refused(changes: dict[str, object], reason: str) -> None:
    intent = replace(INTENT, **changes)  # type: ignore[arg-type]
    with pytest.raises(SigningRefused) as caught:
        signer().sign(transaction(intent), intent, NOW_NS)
    assert reason in caught.value.reasons


def test_an_unlimited_allowance_is_never_signed() -> None:
    allowing = replace(INTENT, kind=EvmKind.ALLOW)
    signer().sign(transaction(allowing), allowing, NOW_NS)
    unlimited = transaction(replace(allowing, amount_in=2**256 - 1))
    with pytest.raises(SigningRefused, match="something else than its intent"):
        signer().sign(unlimited, allowing, NOW_NS)
    with pytest.raises(SigningRefused, match="is more than 1000"):
        signer().sign(unlimited, replace(allowing, amount_in=2**256 - 1), NOW_NS)


def test_real_money_is_signed_only_while_armed_and_a_nonce_may_always_be_used_up() -> None:
    live = replace(MANDATE, chain_id=BASE_CHAIN_ID)
    with pytest.raises(NotArmed, match="chain 8453 is real money"):
        signer(live).sign(transaction(mandate=live), INTENT, NOW_NS)
    empty = transaction(mandate=live, to=ACCOUNT, data=b"", gas=21_000)
    assert signer(live).sign(empty, INTENT, NOW_NS)
    armed = replace(live, armed_until_ns=NOW_NS + 1)
    assert signer(armed).sign(transaction(mandate=armed), INTENT, NOW_NS)
    with pytest.raises(NotArmed):
        signer(armed).sign(transaction(mandate=armed), INTENT, NOW_NS + 1)


def test_a_mandate_for_another_account_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the mandate is for 0xbbbb"):
        MandatedSigner(EvmKey(SecretStr(SECRET)), replace(MANDATE, account=POOL))
