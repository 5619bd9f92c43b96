"""Protections: rules over trades that have closed, under the names that users of freqtrade know. They stop entries for
a while and never touch what is held; drawdown with open positions is the guard's (``risk.drawdown``)."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DAYS_30_S = 30 * 86_400


class ProtectionKind(StrEnum):
    """What is asked of the trades that closed within the window."""

    COOLDOWN_PERIOD = "cooldown_period"
    """Any trade closed."""
    STOPLOSS_GUARD = "stoploss_guard"
    """So many were stopped out and brought less than ``bps``."""
    MAX_DRAWDOWN = "max_drawdown"
    """What they brought, as shares of equity one after the other, fell by more than ``bps`` from its best."""
    LOW_PROFIT_PAIRS = "low_profit_pairs"
    """Their returns add up to less than ``bps``."""


class Protection(BaseModel):
    """One such rule. It is asked whenever a trade closes with a loss (``stoploss_guard``: a stopped one below ``bps``;
    ``cooldown_period``: any), and then entries wait for ``stop_s``.

    ``is_per_token``: only trades of that token count, and only its entries wait; else all trades and all entries.
    ``lookback_s``: how far back trades count. ``trades_min``: with fewer of them (for ``stoploss_guard``: of stopped
    ones) nothing is stopped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ProtectionKind
    is_per_token: bool
    stop_s: int = Field(ge=1, le=DAYS_30_S)
    lookback_s: int = Field(default=0, ge=0, le=DAYS_30_S)
    trades_min: int = Field(default=1, ge=1, le=1_000)
    bps: int = Field(default=0, ge=-1_000_000, le=1_000_000)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind is ProtectionKind.COOLDOWN_PERIOD:
            if (self.lookback_s, self.trades_min, self.bps) != (0, 1, 0):
                msg = "cooldown_period: has stop_s only; lookback_s, trades_min and bps must be left out"
                raise ValueError(msg)
        elif self.lookback_s == 0:
            msg = f"lookback_s: {self.kind} looks back by more than 0 s"
            raise ValueError(msg)
        if self.kind is ProtectionKind.MAX_DRAWDOWN and not 0 < self.bps <= 10_000:
            msg = f"bps: max_drawdown stops at a drop of more than 1 to 10000 bps, not {self.bps}"
            raise ValueError(msg)
        return self
