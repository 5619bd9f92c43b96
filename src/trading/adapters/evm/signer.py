"""A key of an EVM account and what it signs: nothing but what the intent says, within the mandate.

The signer does not read what it is handed: it makes the call anew from the intent and compares the bytes, so a
transaction that does anything else is refused whoever built it.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

from eth_account import Account
from eth_account.signers.local import LocalAccount
from pydantic import SecretStr

from trading.adapters.evm.calls import approve_data, swap_data
from trading.errors import InvalidInput, NotArmed, SigningRefused
from trading.model.evm import EvmIntent, EvmKind, EvmMandate, EvmTx, address_of
from trading.model.units import NS_PER_S

CANCEL_GAS: Final = 21_000
Guard = Callable[[EvmIntent, int], str]
"""Says why nothing may be signed for an intent now, "" where it may."""
_KEY: Final = re.compile("[0-9a-fA-F]{64}", re.ASCII)
_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""How many keys secp256k1 has."""


class EvmKey:
    """A private key in this process's memory. Printed it is its address; it is not copied and not pickled."""

    __slots__ = ("_account", "address")

    def __init__(self, secret: SecretStr) -> None:
        given = secret.get_secret_value().removeprefix("0x")
        if not _KEY.fullmatch(given) or not 0 < int(given, 16) < _ORDER:
            msg = "a key is 0x and 64 hex digits"  # what was given is not repeated
            raise InvalidInput(msg, field="key")
        self._account: LocalAccount = Account.from_key(secret.get_secret_value())
        self.address: Final = address_of(self._account.address)

    def signed(self, tx: EvmTx) -> tuple[str, bytes]:
        """Return the hash and the bytes of the signed transaction."""
        wanted = {
            "type": 2,
            "chainId": tx.chain_id,
            "nonce": tx.nonce,
            "to": bytes.fromhex(tx.to[2:]),
            "data": tx.data,
            "gas": tx.gas,
            "maxFeePerGas": tx.max_fee_wei,
            "maxPriorityFeePerGas": tx.tip_wei,
            "value": 0,
        }
        made = self._account.sign_transaction(cast(dict[str, Any], wanted))
        return "0x" + bytes(made.hash).hex(), bytes(made.raw_transaction)

    def __repr__(self) -> str:
        return f"EvmKey({self.address})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        msg = f"the key of {self.address} is not copied and not pickled"
        raise TypeError(msg)


class MandatedSigner:
    """Body of ``EvmSigner``: a key under a mandate. ``guard`` says what needs an armed desk; without one, everything
    does on a chain whose coins are worth something, by the mandate's own time."""

    def __init__(self, key: EvmKey, mandate: EvmMandate, guard: Guard | None = None) -> None:
        if key.address != mandate.account:
            msg = f"the mandate is for {mandate.account}, and the key is that of {key.address}"
            raise InvalidInput(msg, field="account")
        self._key = key
        self._mandate = mandate
        self._guard = guard or self._by_time

    @property
    def account(self) -> str:
        return self._key.address

    def sign(self, tx: EvmTx, intent: EvmIntent, now_ns: int) -> tuple[str, bytes]:
        mandate = self._mandate
        # What only uses up a nonce moves nothing, and makes the desk safer.
        problem = "" if _is_empty(mandate, tx) else self._guard(intent, now_ns)
        if problem:
            raise NotArmed(problem, field="armed_until_ns")
        reasons = tuple(_reasons(mandate, tx, intent))
        if reasons:
            msg = f"intent {intent.id} is not signed: {'; '.join(reasons)}"
            raise SigningRefused(msg, reasons=reasons)
        return self._key.signed(tx)

    def _by_time(self, _intent: EvmIntent, now_ns: int) -> str:
        mandate = self._mandate
        if not mandate.is_live or now_ns < mandate.armed_until_ns:
            return ""
        return f"chain {mandate.chain_id} is real money, and the mandate of {mandate.account} is not armed"


def expected_call(mandate: EvmMandate, intent: EvmIntent) -> tuple[str, bytes]:
    """Return whom an intent's transaction calls, and with what."""
    if intent.kind is EvmKind.ALLOW:
        return intent.in_token, approve_data(mandate.router, intent.amount_in)
    terms = (intent.account, intent.deadline_ns // NS_PER_S)
    return mandate.router, swap_data(intent.pool, intent.in_token, intent.amount_in, intent.min_out, terms)


def _reasons(mandate: EvmMandate, tx: EvmTx, intent: EvmIntent) -> list[str]:
    """Return everything that is wrong with a transaction."""
    cap = min(mandate.fee_wei_max, intent.fee_wei_max)
    allowed = mandate.token_max.get(intent.in_token, 0)
    is_empty = _is_empty(mandate, tx)
    checks = {
        f"chain {tx.chain_id} is not {mandate.chain_id}": tx.chain_id != mandate.chain_id,
        f"account {intent.account} is not {mandate.account}": intent.account != mandate.account,
        f"pool {intent.pool.address} is not in the mandate": intent.pool not in mandate.pools,
        f"{intent.amount_in} of {intent.in_token} is more than {allowed}": intent.amount_in > allowed,
        f"gas {tx.gas} is more than {mandate.gas_max}": not 0 < tx.gas <= mandate.gas_max,
        f"it may cost {tx.gas_wei_max} wei, and {cap} are allowed": tx.gas_wei_max > cap,
        f"the tip {tx.tip_wei} is more than the whole fee": not 0 <= tx.tip_wei <= tx.max_fee_wei,
        "it does something else than its intent": not is_empty and (tx.to, tx.data) != expected_call(mandate, intent),
        "nothing may be given for less than one unit": intent.min_out < 1,
    }
    return [reason for reason, is_wrong in checks.items() if is_wrong]


def _is_empty(mandate: EvmMandate, tx: EvmTx) -> bool:
    return (tx.to, tx.data, tx.gas) == (mandate.account, b"", CANCEL_GAS)
