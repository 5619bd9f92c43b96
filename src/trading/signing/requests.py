"""The requests that the signer takes, checked at the door: every field bounded, none unknown."""

import base64
import binascii
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading.errors import InvalidInput
from trading.model.chain import SignWanted
from trading.model.intent import IntentKind, OwnAccount

from .book import ApprovalOrder
from .mandate import FILE_BYTES_MAX

_U64 = (1 << 64) - 1
Text = Annotated[str, Field(min_length=1, max_length=300)]
Address = Annotated[str, Field(min_length=32, max_length=44, pattern=r"^[1-9A-HJ-NP-Za-km-z]+$")]
U64 = Annotated[int, Field(ge=0, le=_U64)]
Secret = Annotated[str, Field(min_length=1, max_length=1_024, repr=False)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


R = TypeVar("R", bound=Request)


class Nothing(Request):
    """A request without fields."""


class Account(Request):
    address: Address
    mint: Address
    program: Address


class Sign(Request):
    intent_id: Text
    attempt: Annotated[int, Field(ge=1, le=10_000)]
    wallet: Address
    message_base64: Annotated[str, Field(min_length=1, max_length=8_192)]
    in_mint: Address
    out_mint: Address
    amount_in: U64
    min_out: U64
    fee_lamports_max: U64
    last_valid_block_height: U64
    is_exit: bool
    venues: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)]
    kind: Annotated[str, Field(pattern="^(swap|round_trip|close_accounts|sweep)$")] = "swap"
    to_address: Annotated[str, Field(max_length=44)] = ""
    accounts: Annotated[list[Account], Field(max_length=16)] = []

    def value(self) -> SignWanted:
        """Raises: InvalidInput where the message is not base64."""
        try:
            message = base64.b64decode(self.message_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            msg = "message_base64 is not base64"
            raise InvalidInput(msg, field="message_base64") from error
        return SignWanted(
            intent_id=self.intent_id,
            attempt=self.attempt,
            wallet=self.wallet,
            message=message,
            in_mint=self.in_mint,
            out_mint=self.out_mint,
            amount_in=self.amount_in,
            min_out=self.min_out,
            fee_lamports_max=self.fee_lamports_max,
            last_valid_block_height=self.last_valid_block_height,
            is_exit=self.is_exit,
            venues=tuple(self.venues),
            kind=IntentKind(self.kind),
            to_address=self.to_address,
            accounts=tuple(OwnAccount(each.address, each.mint, each.program) for each in self.accounts),
        )

    @classmethod
    def body_of(cls, wanted: SignWanted) -> dict[str, Any]:
        """Return the request's body for what is wanted."""
        return {
            "intent_id": wanted.intent_id,
            "attempt": wanted.attempt,
            "wallet": wanted.wallet,
            "message_base64": base64.b64encode(wanted.message).decode(),
            "in_mint": wanted.in_mint,
            "out_mint": wanted.out_mint,
            "amount_in": wanted.amount_in,
            "min_out": wanted.min_out,
            "fee_lamports_max": wanted.fee_lamports_max,
            "last_valid_block_height": wanted.last_valid_block_height,
            "is_exit": wanted.is_exit,
            "venues": list(wanted.venues),
            "kind": wanted.kind.value,
            "to_address": wanted.to_address,
            "accounts": [asdict(each) for each in wanted.accounts],
        }


class Unlock(Request):
    passphrase: Secret


class Arm(Request):
    """``text`` is what the file ``source`` says: both must agree when it is armed. ``evidence`` is noted."""

    passphrase: Secret
    text: Annotated[str, Field(min_length=1, max_length=FILE_BYTES_MAX)]
    source: Annotated[str, Field(min_length=2, max_length=4_096, pattern="^/")]
    evidence: Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=20)] = []


class Disarm(Request):
    why: Annotated[str, Field(max_length=200)] = ""


class Ask(Request):
    intent_id: Text
    wallet: Address
    in_mint: Address
    out_mint: Address
    amount_in: U64
    min_out: U64
    fee_lamports_max: U64
    expires_ns: U64
    reason: Annotated[str, Field(max_length=300)] = ""

    def value(self) -> ApprovalOrder:
        return ApprovalOrder(**self.model_dump())


class ApprovalNamed(Request):
    id: Hash


class Approve(Request):
    id: Hash
    credential: dict[str, Any]


class Code(Request):
    code: Annotated[str, Field(max_length=64)]


class Register(Request):
    code: Annotated[str, Field(max_length=64)]
    credential: dict[str, Any]
    label: Annotated[str, Field(max_length=64)] = ""


class Fingerprint(Request):
    passphrase: Secret
    fingerprint: Annotated[str, Field(min_length=1, max_length=64)]


def parsed(kind: type[R], body: Any) -> R:
    """Return the request. Raises: InvalidInput naming the fields, without what was given for them."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
        msg = "; ".join(dict.fromkeys(problems))
        raise InvalidInput(msg, field=str((error.errors()[0]["loc"] or ("body",))[0])) from None
