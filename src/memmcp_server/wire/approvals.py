"""Orders that wait for the operator's passkey, and the passkeys that the signer pinned."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from .base import Request, Wire

ApprovalId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
BaseUnits = Annotated[str, StringConstraints(pattern=r"^\d{1,20}$")]
ApprovalStateName = Literal["awaiting_operator", "approved", "refused", "expired", "done"]


class ApprovalView(Wire):
    """An order of real money. Amounts are base units, as text: they may be larger than a script's numbers."""

    id: ApprovalId = Field(description="The hash of every figure of the order.")
    state: ApprovalStateName
    asked_at: datetime
    expires_at: datetime
    intent_id: str
    wallet: str
    in_mint: str
    out_mint: str
    amount_in: BaseUnits
    min_out: BaseUnits = Field(description="The least that comes out; the price bound.")
    fee_lamports_max: BaseUnits
    reason: str = ""


class PasskeyView(Wire):
    fingerprint: str = Field(description="What the operator compares with the signer's terminal.")
    label: str = ""


class ApprovalList(Wire):
    """What waits and what waited lately, newest first; ``why_not`` says why nothing is armed, "" where it is.

    ``is_available`` false: no signer answers, and ``why_not`` says so.
    """

    is_available: bool = True
    approvals: list[ApprovalView]
    passkeys: list[PasskeyView]
    origins: list[str] = Field(description="Where a passkey's answer may come from: the page's own address.")
    is_armed: bool
    why_not: str = ""


class Options(Wire):
    """What the browser's WebAuthn call takes, as JSON."""

    options: dict[str, Any]


class AnswerRequest(Request):
    """A passkey's answer to the newest challenge of this order."""

    credential: dict[str, Any] = Field(description="The browser's PublicKeyCredential as JSON.")


class CodeRequest(Request):
    code: str = Field(min_length=1, max_length=64, description="The one-time code that the signer's terminal shows.")


class PasskeyRequest(CodeRequest):
    credential: dict[str, Any] = Field(description="The browser's new PublicKeyCredential as JSON.")
    label: str = Field(default="", max_length=64)


class NoBody(Request):
    """An empty JSON object."""
