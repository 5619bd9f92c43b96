"""What endpoints answer, read strictly."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from tests.support.transfers import signed_transfer

from trading.adapters.solana.answers import (
    UNREADABLE,
    account,
    error_text,
    history_entry,
    signature_of,
    simulated,
    static_keys,
    status,
    transaction,
    whole,
)
from trading.model.chain import Commitment, TokenBalance

pytestmark = pytest.mark.requirement("T10")
PAYER, TARGET = Keypair(), str(Keypair().pubkey())
SIGNATURE, RAW = signed_transfer(PAYER, TARGET, 1, str(Hash.default()))
MINT, OWNER, TABLE_KEY = (str(Keypair().pubkey()) for _ in range(3))


def told(**changes: Any) -> dict[str, Any]:
    """Return an answer of getTransaction: payer, target, the system program, and one address of a lookup table."""
    meta = {
        "err": None,
        "fee": 5_000,
        "preBalances": [100, 0, 1, 7],
        "postBalances": [94, 1, 1, 7],
        "preTokenBalances": [],
        "postTokenBalances": [],
        "logMessages": ["one"],
        "loadedAddresses": {"writable": [TABLE_KEY], "readonly": []},
    }
    meta |= changes
    encoded = [base64.b64encode(RAW).decode(), "base64"]
    return {"slot": 9, "blockTime": 8, "transaction": encoded, "meta": meta, "version": 0}


def balance(index: int, amount: str, owner: str | None = OWNER) -> dict[str, Any]:
    given = {"accountIndex": index, "mint": MINT, "uiTokenAmount": {"amount": amount, "decimals": 6, "uiAmount": 0.1}}
    return given if owner is None else given | {"owner": owner}


def test_balances_belong_to_the_accounts_in_their_order_those_of_lookup_tables_last() -> None:
    seen = transaction(SIGNATURE, told(), "one")
    assert list(seen.lamports) == [*static_keys(RAW), TABLE_KEY]
    assert seen.lamports[TABLE_KEY] == (7, 7)
    assert (seen.payer, seen.lamports[seen.payer]) == (str(PAYER.pubkey()), (100, 94))
    assert (seen.slot, seen.block_time_s, seen.logs, seen.reported_fee_lamports) == (9, 8, ("one",), 5_000)


def test_token_accounts_may_appear_and_disappear_and_hold_more_than_a_json_number() -> None:
    most = str(2**64 - 1)
    seen = transaction(
        SIGNATURE,
        told(
            preTokenBalances=[balance(1, "5"), balance(3, most)],
            postTokenBalances=[balance(2, "6", owner=None), balance(3, "0")],
        ),
        "one",
    )
    keys = list(seen.lamports)
    assert seen.tokens == (
        TokenBalance(keys[1], OWNER, MINT, 5, None),
        TokenBalance(keys[2], "", MINT, None, 6),
        TokenBalance(keys[3], OWNER, MINT, 2**64 - 1, 0),
    )


def test_an_answer_of_an_older_node_has_no_lists_where_nothing_is() -> None:
    given = told(logMessages=None, preTokenBalances=None, postTokenBalances=None, loadedAddresses=None)
    given["blockTime"] = None
    given["meta"]["preBalances"].pop()
    given["meta"]["postBalances"].pop()
    seen = transaction(SIGNATURE, given, "one")
    assert (seen.tokens, seen.logs, seen.block_time_s) == ((), (), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"preBalances": [100, 0, 1]},
        {"preBalances": [100, 0, 1, -7]},
        {"preBalances": [100, 0, 1, 7.0]},
        {"preBalances": [100, 0, 1, True]},
        {"preBalances": [100, 0, 1, 2**64]},
        {"fee": None},
        {"preTokenBalances": [balance(4, "5")]},
        {"preTokenBalances": [balance(1, "-5")]},
        {"preTokenBalances": [balance(1, "0.5")]},
        {"preTokenBalances": [{"accountIndex": 1}]},
        {"err": {"Custom": 0.5}},
    ],
)
def test_a_transaction_that_does_not_add_up_is_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(UNREADABLE):
        transaction(SIGNATURE, told(**changes), "one")


def test_legacy_and_versioned_transactions_are_read_and_later_versions_are_not() -> None:
    legacy = Message([transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=Keypair().pubkey(), lamports=1))])
    signed = VersionedTransaction(legacy, [PAYER])
    assert static_keys(bytes(signed)) == [str(key) for key in legacy.account_keys]
    assert signature_of(bytes(signed)) == str(signed.signatures[0])
    assert signature_of(RAW) == SIGNATURE
    assert static_keys(RAW)[0] == str(PAYER.pubkey())
    assert RAW[65] == 0x80
    with pytest.raises(ValueError, match="version 1"):
        static_keys(RAW[:65] + b"\x81" + RAW[66:])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_transaction_or_unreadable(raw: bytes) -> None:
    for read in (signature_of, static_keys):
        try:
            read(raw)
        except UNREADABLE:
            continue


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["value", "context", "slot", "err", "data", "meta", "transaction", "lamports"]),
                        inner, max_size=4), max_leaves=12))  # fmt: skip
def test_any_json_is_an_answer_or_unreadable(given: Any) -> None:
    for read in (
        lambda: transaction(SIGNATURE, given, "one"),
        lambda: status(SIGNATURE, given, "one"),
        lambda: account(MINT, given, 1),
        lambda: simulated(given, (MINT,)),
        lambda: history_entry(given),
        lambda: error_text(given),
    ):
        try:
            read()
        except UNREADABLE:
            continue


def test_levels_of_older_nodes_are_told_by_their_confirmations() -> None:
    final = status(SIGNATURE, {"slot": 1, "confirmations": None, "err": None}, "one")
    young = status(SIGNATURE, {"slot": 1, "confirmations": 3, "err": None}, "one")
    assert final is not None
    assert young is not None
    assert (final.commitment, young.commitment) == (Commitment.FINALIZED, Commitment.PROCESSED)
    with pytest.raises(UNREADABLE):
        status(SIGNATURE, {"slot": 1, "err": None, "confirmationStatus": "certain"}, "one")


def test_a_failed_transaction_has_its_error_in_one_spelling() -> None:
    assert error_text({"InstructionError": [2, {"Custom": 6001}]}) == '{"InstructionError":[2,{"Custom":6001}]}'
    assert error_text("AccountInUse") == '"AccountInUse"'
    assert error_text(None) == ""


@pytest.mark.parametrize("data", [["", "base58"], ["%%%", "base64"], "", None, ["AA=="]])
def test_an_account_in_another_form_is_unreadable(data: Any) -> None:
    with pytest.raises(UNREADABLE):
        account(MINT, {"data": data, "owner": OWNER, "lamports": 1, "executable": False}, 1)


def test_a_simulation_tells_of_the_accounts_that_were_asked_for() -> None:
    result = {"context": {"slot": 4}, "value": {"err": None, "logs": None, "unitsConsumed": None, "accounts": None}}
    seen = simulated(result, (MINT, OWNER))
    assert (seen.accounts, seen.compute_units, seen.context_slot) == ({MINT: None, OWNER: None}, 0, 4)
    result["value"]["accounts"] = [None]  # type: ignore[index]
    with pytest.raises(UNREADABLE):
        simulated(result, (MINT, OWNER))
    with pytest.raises(UNREADABLE):
        whole("5")
