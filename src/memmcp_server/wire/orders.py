"""Orders, rebalancing and controls as JSON: preview first, then once per key."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from .base import Bps, JsonValue, MemoryIdStr, Request, SolAmount, TokenAmount, TradingState
from .money import BPS_ONE, CostView, TradingContext, WaitingOrder


class TradeRequest(Request):
    side: Literal["buy", "sell"] = Field(description="buy spends SOL, sell brings SOL.")
    mint: str = Field(min_length=2, max_length=64, description="Mint address, or a symbol to look up.")
    amount_sol: SolAmount | None = Field(default=None, description="Decimal string, e.g. 0.25.")
    amount_token: TokenAmount | None = Field(default=None, description="Instead of SOL.")
    max_slippage_bps: Bps | None = Field(default=None, description="Against the preview's quote.")
    strategy: str | None = Field(default=None, max_length=64, description="Whose rules it follows.")
    bucket: str = Field(default="manual", max_length=64, description="Which one pays.")
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept.")
    cites: list[MemoryIdStr] = Field(default_factory=list, max_length=16, description="Memory ids it rests on.")
    preview_id: str | None = Field(default=None, max_length=64, description="From the preview.")

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.amount_sol is None) == (self.amount_token is None):
            msg = "give exactly one of amount_sol and amount_token"
            raise ValueError(msg)
        if Decimal(self.amount_sol or self.amount_token or 0) == 0:
            msg = f"{'amount_sol' if self.amount_sol else 'amount_token'} must be above 0"
            raise ValueError(msg)
        return self


class CloseRequest(Request):
    mint: str = Field(min_length=2, max_length=64, description="Mint address.")
    percent: int = Field(ge=1, le=100, description="Share to sell.")
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept.")
    preview_id: str | None = Field(default=None, max_length=64, description="From the preview.")


class TradeAnswer(TradingContext):
    """``status``: preview (nothing happened yet), done, denied, rejected, candidates, stale, expired, working (sent,
    and its fill is not known yet), awaiting_operator: it waits for the operator's passkey until ``expires_at``, and
    ``approval`` says what the operator sees."""

    status: Literal[
        "preview", "done", "denied", "rejected", "candidates", "stale", "expired", "working", "awaiting_operator"
    ]
    message: str
    preview_id: str | None = None
    expires_at: datetime | None = None
    quote: dict[str, JsonValue] | None = None
    costs: CostView | None = None
    verdict: dict[str, JsonValue] | None = None
    order_id: str | None = None
    trajectory_id: str | None = None
    fill: dict[str, JsonValue] | None = None
    candidates: list[dict[str, JsonValue]] | None = None
    approval: WaitingOrder | None = None


class RebalanceRequest(Request):
    scope: Literal["buckets", "tokens"] = Field(description="What to move.")
    weights_bps: dict[str, Bps] | None = Field(default=None, description="By bucket or mint; the rest is cash.")
    policy: Literal["equal", "cash", "profile"] | None = Field(default=None, description="Instead of weights_bps.")
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept.")
    preview_id: str | None = Field(default=None, max_length=64, description="From the preview.")

    @model_validator(mode="after")
    def _one_wish(self) -> Self:
        if (self.weights_bps is None) == (self.policy is None):
            msg = "give exactly one of weights_bps and policy"
            raise ValueError(msg)
        if self.weights_bps is not None and (total := sum(self.weights_bps.values())) > BPS_ONE:
            msg = f"weights_bps must sum to at most {BPS_ONE}, not {total}"
            raise ValueError(msg)
        return self


class RebalanceAnswer(TradingContext):
    """``legs`` say what is moved and what became of each: ``status`` of carrying it out, then ``outcome`` (working,
    filled, rejected, awaiting_operator) with ``told`` for its orders. ``orders_open``: so many are not settled yet."""

    status: Literal["preview", "done", "denied", "stale", "expired"]
    message: str
    preview_id: str | None = None
    expires_at: datetime | None = None
    legs: list[dict[str, JsonValue]] = []
    orders_open: int = 0


ProfileName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
CONTROL_FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "close": ("mint", "percent"),
        "deposit": ("amount_sol",),
        "withdraw": ("amount_sol",),
        "target": ("amount_sol",),
        "profile": ("profile",),
    }
)
"""Which fields an action takes besides its reason."""


LEVEL_ACTIONS: Final = frozenset({"reduce_only", "flatten_and_halt", "resume"})
"""Which actions may be for one wallet, bucket or strategy."""


class ControlRequest(Request):
    """``close`` sells a share of one position; the deposit and withdraw actions book a paper movement; ``profile``
    trades under another one from now on."""

    action: Literal[
        "stop_entries",
        "reduce_only",
        "flatten_and_halt",
        "resume",
        "close",
        "deposit",
        "withdraw",
        "target",
        "profile",
    ]
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept in the journal.")
    mint: str | None = Field(default=None, min_length=2, max_length=64)
    percent: int | None = Field(default=None, ge=1, le=100)
    amount_sol: SolAmount | None = None
    profile: ProfileName | None = None
    level: str | None = Field(
        default=None, max_length=100, description="reduce_only, flatten_and_halt and resume: only there, bucket:NAME."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = CONTROL_FIELDS.get(self.action, ())
        for name in ("mint", "percent", "amount_sol", "profile"):
            if name in wanted and getattr(self, name) is None:
                msg = f"{name} is required for {self.action}"
                raise ValueError(msg)
            if name not in wanted and getattr(self, name) is not None:
                msg = f"{name} does not belong to {self.action}"
                raise ValueError(msg)
        if self.level is not None and self.action not in LEVEL_ACTIONS:
            msg = f"level does not belong to {self.action}"
            raise ValueError(msg)
        return self


class ControlAnswer(TradingContext):
    """``effect`` says what happens to open positions."""

    status: Literal["done", "denied"]
    state: TradingState
    entries_allowed: bool
    effect: str
    order_ids: list[str] = []
