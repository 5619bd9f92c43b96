"""Arming as the page sees it: what is in force, what the mandate's file says, and how it is armed on a terminal.

Nothing here arms: that takes the signer's passphrase, which is typed on a terminal alone (docs/threat-model.md).
Endpoints are counted and not named, because their addresses can hold keys.
"""

from datetime import datetime

from pydantic import Field

from .base import Request, Wire


class MandateView(Wire):
    """The bounds of a mandate. Amounts are lamports. ``armed_s_max``: how long an arming of it lasts."""

    name: str
    network: str = Field(description="live, or rehearsal: a chain whose coins are worth nothing.")
    sha256: str
    wallets: list[str]
    cold_address: str
    mints: list[str]
    sides: list[str]
    venues: list[str] = Field(description="Empty: any.")
    endpoints: int
    order_lamports_max: int
    day_lamports_max: int
    fee_lamports_max: int
    fee_day_lamports_max: int
    slippage_bps_max: int
    ramp_trades: int
    ramp_lamports_max: int
    approval_above_lamports: int
    sweep_day_lamports_max: int
    armed_s_max: int
    expires_at: datetime


class ArmedView(Wire):
    """The arming in force. ``number`` counts armings; ``sha256`` is of the mandate that was armed."""

    number: int
    name: str
    network: str
    sha256: str
    armed_at: datetime
    ends_at: datetime
    order_lamports_max: int
    day_lamports_max: int


class LiveView(Wire):
    """``is_available`` false: no signer answers, ``why_not`` says so. ``mandate`` is what the file says now, null with
    the reason in ``mandate_problem`` where it cannot be read. ``arm_commands`` are typed on a terminal, in turn."""

    is_available: bool = True
    is_unlocked: bool
    armed: ArmedView | None = None
    why_not: str = ""
    spent_day_lamports: int = 0
    fee_day_lamports: int = 0
    ramp_left: int = 0
    mandate: MandateView | None = None
    mandate_problem: str = ""
    arm_commands: list[str] = []


class DisarmRequest(Request):
    """Nothing else is needed: it only makes the desk safer, and a repeat changes nothing."""

    reason: str = Field(min_length=3, max_length=200, description="Why; kept in the signer's record.")
