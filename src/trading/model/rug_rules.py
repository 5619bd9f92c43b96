"""What the facts about a token must be for it to be bought: the bounds of the checks in ``risk.rug_checks``."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from .units import BPS_ONE, LAMPORTS_PER_SOL


class MintPower(StrEnum):
    """What somebody may be able to do with a token after it was made. MINT: make more of it. FREEZE: accounts of it.
    MOVE: take it from any account (a permanent delegate). HOOK: have a program asked at every transfer. TAX: set
    another fee of transfers. STOP: stop all transfers."""

    MINT = "mint"
    FREEZE = "freeze"
    MOVE = "move"
    HOOK = "hook"
    TAX = "tax"
    STOP = "stop"


class RugRules(BaseModel):
    """``sell_loss_bps_max``: how much less than its worth the simulated sale may bring, fees of the pool included.
    ``top_ten_bps_max``: what ten holders may have of the token. Whoever can mint, freeze, move or refuse is a reason at
    any bounds, but for what ``powers_allowed`` names (mint, freeze, move, hook, tax, stop). ``banned`` mints are bought
    by nobody: no strategy, no agent, no person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sell_loss_bps_max: int = Field(default=1_000, ge=0, le=BPS_ONE)
    transfer_fee_bps_max: int = Field(default=0, ge=0, le=BPS_ONE)
    liquidity_lamports_min: int = Field(default=20 * LAMPORTS_PER_SOL, ge=0, le=10**18)
    top_ten_bps_max: int = Field(default=4_000, ge=0, le=BPS_ONE)
    holders_min: int = Field(default=20, ge=0, le=10**9)
    age_s_min: int = Field(default=0, ge=0, le=365 * 86_400)
    powers_allowed: tuple[MintPower, ...] = Field(default=(), max_length=len(MintPower))
    banned: tuple[str, ...] = Field(default=(), max_length=1_000)

    def allows(self, power: MintPower) -> bool:
        return power in self.powers_allowed
