"""Profiles: named, validated sets of risk limits, sizing, exits, fees and strategies. The desk calls one a godmode."""

from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading.errors import InvalidInput

from .account import Level
from .advice import AdviceRules
from .bucket_rules import BucketRules
from .gap import GapRules
from .network import COMPUTE_UNITS_PER_TRANSACTION_MAX, priority_fee_lamports
from .protection import Protection, ProtectionKind
from .recall import RecallRules
from .rug_rules import RugRules
from .units import BASE_UNITS_MAX, BPS_ONE, ceil_div

Bps = Annotated[int, Field(ge=0, le=10_000)]
ParameterValue = int | float

GAP_JOINT_MOVE_BPS: Final = 6_000
TURNOVER_BPS_MAX: Final = 10_000_000
ENTRIES_MAX: Final = 100_000


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


RulesT = TypeVar("RulesT", bound=_Rules)


class DrawdownLimits(NamedTuple):
    """Beyond which drop from its peaks a level reduces, and halts; a reducing one begins anew after ``reducing_s``."""

    reducing_bps: int
    halted_bps: int
    reducing_s: int

    @property
    def is_watched(self) -> bool:
        """Whether one of them can be crossed: nothing falls by more than all of it."""
        return min(self.reducing_bps, self.halted_bps) < BPS_ONE


class Limits(_Rules):
    """What the gate allows an entry to do. Shares are of equity marked at liquidation value.

    ``edge_over_cost_bps_min``: expected move minus every cost of the round trip, as a share of the order; -10000 asks
    for nothing.
    ``exit_reserve_lamports``: SOL kept per open token for the transactions that sell it.
    ``fee_position_bps_max``: fixed network fees of the round trip as a share of the order.
    ``reentry_s``: how long a token may not be bought below the price of its last losing exit.
    ``gap_token_bps_max``: what one token may cost when it goes to zero and cannot be sold; ``gap_joint_bps_max``: what
    a joint fall of all tokens by ``GAP_JOINT_MOVE_BPS`` may cost. A position that grew beyond is cut back to it.
    ``{wallet,bucket,strategy}_drawdown_*``: the same as for the account, each measured on its own (``risk.levels``);
    10000 watches nothing.
    ``{wallet,bucket,strategy}_exposure_bps_max``: what may be held in one of them, as a share of the account's equity;
    10000 asks for nothing. A desk on one wallet holds everything in it.
    ``turnover_bps_day_max``: what may be bought and sold in a day (``account.zone``), a round trip counts twice;
    ``entries_day_max``: how many entries may be sent in it. Exits count and are never denied.
    ``protections``: after which closed trades entries wait.
    ``cvar_bps_max``: what the worst hours may cost on average: the expected shortfall of all that is held, over
    ``cvar_horizon_h`` hours at ``cvar_level_bps``; 10000 asks for nothing. Of a token with fewer than
    ``cvar_history_h_min`` hourly returns ``cvar_unknown_bps`` of its value is assumed.
    ``adds_max``: how often a strategy may add to its own position (0: never), each time only ``add_step_bps`` or more
    above its average cost and with at most ``add_size_bps_max`` of the purchase before; the stop is raised with it.
    """

    order_bps_max: Bps
    token_exposure_bps_max: Bps
    total_exposure_bps_max: Bps
    positions_max: int = Field(ge=1, le=1_000)
    impact_bps_max: Bps
    slippage_bps_max: Bps
    priority_fee_lamports_max: int = Field(ge=0, le=100_000_000)
    fee_position_bps_max: Bps
    exit_reserve_lamports: int = Field(ge=10_000, le=1_000_000_000)
    edge_over_cost_bps_min: int = Field(ge=-BPS_ONE, le=BPS_ONE)
    day_loss_bps_max: Bps
    drawdown_reducing_bps: Bps
    drawdown_halted_bps: Bps
    reducing_s: int = Field(ge=0, le=30 * 86_400)
    cooldown_s: int = Field(ge=0, le=30 * 86_400)
    reentry_s: int = Field(ge=0, le=30 * 86_400)
    data_age_s_max: int = Field(ge=1, le=86_400)
    gap_token_bps_max: Bps = BPS_ONE
    gap_joint_bps_max: Bps = BPS_ONE
    wallet_drawdown_reducing_bps: Bps = BPS_ONE
    wallet_drawdown_halted_bps: Bps = BPS_ONE
    bucket_drawdown_reducing_bps: Bps = BPS_ONE
    bucket_drawdown_halted_bps: Bps = BPS_ONE
    strategy_drawdown_reducing_bps: Bps = BPS_ONE
    strategy_drawdown_halted_bps: Bps = BPS_ONE
    turnover_bps_day_max: int = Field(default=TURNOVER_BPS_MAX, ge=1, le=TURNOVER_BPS_MAX)
    entries_day_max: int = Field(default=ENTRIES_MAX, ge=1, le=ENTRIES_MAX)
    protections: tuple[Protection, ...] = Field(default=(), max_length=16)
    cvar_bps_max: Bps = BPS_ONE
    cvar_level_bps: int = Field(default=9_500, ge=5_000, le=9_990)
    cvar_horizon_h: int = Field(default=4, ge=1, le=24)
    cvar_history_h_min: int = Field(default=72, ge=24, le=240)
    cvar_unknown_bps: Bps = 2_000
    adds_max: int = Field(default=0, ge=0, le=20)
    add_step_bps: Bps = 200
    add_size_bps_max: int = Field(default=5_000, ge=1, le=BPS_ONE - 1)
    wallet_exposure_bps_max: Bps = BPS_ONE
    bucket_exposure_bps_max: Bps = BPS_ONE
    strategy_exposure_bps_max: Bps = BPS_ONE

    @property
    def drawdown(self) -> DrawdownLimits:
        """The limits of the account."""
        return DrawdownLimits(self.drawdown_reducing_bps, self.drawdown_halted_bps, self.reducing_s)

    def drawdown_of(self, level: Level) -> DrawdownLimits:
        """Return the limits of each wallet, bucket or strategy."""
        match level:
            case Level.WALLET:
                bounds = (self.wallet_drawdown_reducing_bps, self.wallet_drawdown_halted_bps)
            case Level.BUCKET:
                bounds = (self.bucket_drawdown_reducing_bps, self.bucket_drawdown_halted_bps)
            case Level.STRATEGY:
                bounds = (self.strategy_drawdown_reducing_bps, self.strategy_drawdown_halted_bps)
        return DrawdownLimits(*bounds, self.reducing_s)

    def exposure_bps_max_of(self, level: Level) -> int:
        """Return what may be held in each wallet, bucket or strategy, as a share of equity."""
        by_level = (self.wallet_exposure_bps_max, self.bucket_exposure_bps_max, self.strategy_exposure_bps_max)
        return dict(zip(Level, by_level, strict=True))[level]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.gap_token_bps_max < self.token_exposure_bps_max:
            msg = f"gap_token_bps_max must be at least token_exposure_bps_max ({self.token_exposure_bps_max})"
            raise ValueError(msg)
        if self.gap_joint_bps_max * BPS_ONE < self.total_exposure_bps_max * GAP_JOINT_MOVE_BPS:
            least = ceil_div(self.total_exposure_bps_max * GAP_JOINT_MOVE_BPS, BPS_ONE)
            msg = (
                f"gap_joint_bps_max must be at least {least}: that share of total_exposure_bps_max goes in such a move"
            )
            raise ValueError(msg)
        for prefix, bounds in (("", self.drawdown), *((f"{level}_", self.drawdown_of(level)) for level in Level)):
            if not 0 < bounds.reducing_bps <= bounds.halted_bps:
                msg = (
                    f"{prefix}drawdown_reducing_bps must be above 0 and at most {prefix}drawdown_halted_bps "
                    f"({bounds.halted_bps}), not {bounds.reducing_bps}"
                )
                raise ValueError(msg)
        if (
            self.order_bps_max > self.token_exposure_bps_max
            or self.token_exposure_bps_max > self.total_exposure_bps_max
        ):
            msg = "order_bps_max <= token_exposure_bps_max <= total_exposure_bps_max must hold"
            raise ValueError(msg)
        cases = self.cvar_history_h_min - self.cvar_horizon_h + 1
        if cases * (BPS_ONE - self.cvar_level_bps) < BPS_ONE:
            least = ceil_div(BPS_ONE, BPS_ONE - self.cvar_level_bps) + self.cvar_horizon_h - 1
            msg = f"cvar_history_h_min must be at least {least} for a case in the tail, not {self.cvar_history_h_min}"
            raise ValueError(msg)
        if self.reentry_s < self.cooldown_s:
            msg = f"reentry_s must be at least cooldown_s ({self.cooldown_s}), not {self.reentry_s}"
            raise ValueError(msg)
        return self


class SizingRules(_Rules):
    """How much to risk. Until a strategy has ``trades_min`` finished trades it gets ``probe_bps`` of equity.

    ``volatility_target_bps`` is the volatility that one position may bring to equity, per day. In a drawdown positions
    shrink towards the halt, to ``drawdown_floor_bps`` of their size at the least (10000: they do not shrink). With
    ``base_units_fixed`` above 0 every entry buys exactly so many base units instead, if every limit allows it.

    ``correlation_bps`` is how much of a token's correlation with what is held counts against the size of an entry
    (``risk.correlation``; 0: none). Of tokens with fewer than ``correlation_hours_min`` joint hourly returns the
    correlation ``correlation_unknown_bps`` is assumed.
    """

    kelly_fraction_bps: Bps
    trades_min: int = Field(ge=2, le=1_000)
    probe_bps: Bps
    volatility_target_bps: Bps
    order_lamports_min: int = Field(ge=1_000_000)
    drawdown_floor_bps: Bps = BPS_ONE
    base_units_fixed: int = Field(default=0, ge=0, le=BASE_UNITS_MAX)
    correlation_bps: Bps = 0
    correlation_hours_min: int = Field(default=48, ge=12, le=240)
    correlation_unknown_bps: Bps = 7_000


class ExitRules(_Rules):
    """When a position is sold whatever its strategy thinks. Moves are against the average cost including fees
    (``stop_loss_bps``, ``take_profit_bps``) and against the best close since entry (``trailing_stop_bps``, armed once
    the position was up by ``trailing_arm_bps``). ``holding_s_max``: no position outlives it while it can be sold."""

    stop_loss_bps: Bps
    trailing_stop_bps: Bps
    trailing_arm_bps: Bps
    take_profit_bps: int = Field(ge=0, le=1_000_000)
    holding_s_max: int = Field(ge=60, le=365 * 86_400)


class FeeRules(_Rules):
    """Priority fee: ceil(price x limit / 10^6) lamports, charged on the limit and also when the transaction fails."""

    priority_micro_lamports_per_cu: int = Field(ge=0, le=100_000_000)
    compute_units_max: int = Field(ge=1, le=COMPUTE_UNITS_PER_TRANSACTION_MAX)
    exit_slippage_bps_max: Bps


class StrategyChoice(_Rules):
    """A strategy, its share of the capital, its parameters that differ, and the candidate that they are of, if any."""

    name: str = Field(min_length=1, max_length=64)
    weight_bps: int = Field(ge=1, le=10_000)
    parameters: dict[str, ParameterValue] = {}
    lineage: str = Field(default="", max_length=64)


class Profile(_Rules):
    """One complete way to trade."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    title: str
    limits: Limits
    sizing: SizingRules
    exits: ExitRules
    fees: FeeRules
    strategies: tuple[StrategyChoice, ...] = Field(min_length=1, max_length=64)
    buckets: BucketRules = BucketRules()
    after_gap: GapRules = GapRules()
    rugs: RugRules = RugRules()
    recall: RecallRules = RecallRules()
    advice: AdviceRules = AdviceRules()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [choice.name for choice in self.strategies]
        if len(set(names)) != len(names):
            msg = f"strategies: each may be named once, not {names}"
            raise ValueError(msg)
        if sum(choice.weight_bps for choice in self.strategies) > 10_000:
            msg = "strategies: the weights add up to more than 10000 bps"
            raise ValueError(msg)
        fee = self.priority_fee_lamports
        if fee > self.limits.priority_fee_lamports_max:
            msg = f"fees: the priority fee of {fee} lamports is above limits.priority_fee_lamports_max"
            raise ValueError(msg)
        if self.limits.adds_max and not self.exits.stop_loss_bps:
            msg = f"limits.adds_max must be 0 without exits.stop_loss_bps, not {self.limits.adds_max}: no stop rises"
            raise ValueError(msg)
        return self

    @property
    def priority_fee_lamports(self) -> int:
        """What an order of this profile pays on top, in lamports."""
        return priority_fee_lamports(self.fees.priority_micro_lamports_per_cu, self.fees.compute_units_max)


def _changed(rules: RulesT, changes: Mapping[str, object]) -> RulesT:
    """Return the rules with changes, validated (pydantic's own copy would not be)."""
    return type(rules).model_validate({**rules.model_dump(), **changes})


def _protections(stops: int, lost_bps: int, stop_s: int) -> tuple[Protection, ...]:
    """Return the rules over losses with what differs between profiles: so many stops, or so much lost, in a day."""
    kinds, day_s = ProtectionKind, 86_400
    return (
        Protection(kind=kinds.STOPLOSS_GUARD, is_per_token=False, stop_s=stop_s, lookback_s=day_s, trades_min=stops),
        Protection(kind=kinds.STOPLOSS_GUARD, is_per_token=True, stop_s=day_s, lookback_s=day_s, trades_min=2),
        Protection(kind=kinds.MAX_DRAWDOWN, is_per_token=False, stop_s=stop_s, lookback_s=day_s, bps=lost_bps),
        Protection(
            kind=kinds.LOW_PROFIT_PAIRS,
            is_per_token=True,
            stop_s=2 * day_s,
            lookback_s=7 * day_s,
            trades_min=4,
            bps=-500,
        ),
    )


_STRATEGIES: Final = (
    StrategyChoice(name="momentum_breakout", weight_bps=5_000),
    StrategyChoice(name="mean_reversion", weight_bps=5_000),
)

FOUNDATION: Final = Profile(
    name="foundation",
    title="The default for small desks: few positions, fixed costs watched.",
    limits=Limits(
        order_bps_max=2_000,
        token_exposure_bps_max=2_500,
        total_exposure_bps_max=6_000,
        positions_max=4,
        impact_bps_max=100,
        slippage_bps_max=150,
        priority_fee_lamports_max=200_000,
        fee_position_bps_max=50,
        exit_reserve_lamports=2_000_000,
        edge_over_cost_bps_min=25,
        day_loss_bps_max=500,
        drawdown_reducing_bps=1_500,
        drawdown_halted_bps=2_500,
        reducing_s=86_400,
        cooldown_s=3_600,
        reentry_s=21_600,
        data_age_s_max=900,
        gap_token_bps_max=3_000,
        gap_joint_bps_max=4_000,
        wallet_drawdown_reducing_bps=2_000,
        wallet_drawdown_halted_bps=3_000,
        bucket_drawdown_reducing_bps=2_000,
        bucket_drawdown_halted_bps=3_500,
        strategy_drawdown_reducing_bps=2_000,
        strategy_drawdown_halted_bps=3_500,
        turnover_bps_day_max=60_000,
        entries_day_max=50,
        protections=_protections(stops=5, lost_bps=800, stop_s=6 * 3_600),
        cvar_bps_max=1_000,
        adds_max=2,
    ),
    sizing=SizingRules(
        kelly_fraction_bps=5_000,
        trades_min=20,
        probe_bps=1_000,
        volatility_target_bps=150,
        order_lamports_min=20_000_000,
        drawdown_floor_bps=2_500,
        correlation_bps=5_000,
    ),
    exits=ExitRules(
        stop_loss_bps=500, trailing_stop_bps=400, trailing_arm_bps=300, take_profit_bps=1_500, holding_s_max=86_400
    ),
    fees=FeeRules(priority_micro_lamports_per_cu=100_000, compute_units_max=200_000, exit_slippage_bps_max=1_000),
    strategies=_STRATEGIES,
    after_gap=GapRules.protecting(1_800, 3, 250, exit_losing_h=6, exit_all_h=48),
)

CAUTIOUS: Final = Profile(
    name="cautious",
    title="Small orders, tight limits, few trades.",
    limits=_changed(
        FOUNDATION.limits,
        {
            "order_bps_max": 1_000,
            "token_exposure_bps_max": 1_500,
            "total_exposure_bps_max": 3_000,
            "positions_max": 3,
            "impact_bps_max": 50,
            "slippage_bps_max": 75,
            "edge_over_cost_bps_min": 60,
            "day_loss_bps_max": 250,
            "drawdown_reducing_bps": 700,
            "drawdown_halted_bps": 1_200,
            "cooldown_s": 14_400,
            "reentry_s": 86_400,
            "gap_token_bps_max": 1_800,
            "gap_joint_bps_max": 2_200,
            "wallet_drawdown_reducing_bps": 900,
            "wallet_drawdown_halted_bps": 1_500,
            "bucket_drawdown_reducing_bps": 1_000,
            "bucket_drawdown_halted_bps": 1_700,
            "strategy_drawdown_reducing_bps": 1_000,
            "strategy_drawdown_halted_bps": 1_700,
            "turnover_bps_day_max": 20_000,
            "entries_day_max": 15,
            "protections": (
                Protection(kind=ProtectionKind.COOLDOWN_PERIOD, is_per_token=True, stop_s=1_800),
                *_protections(stops=3, lost_bps=400, stop_s=12 * 3_600),
            ),
            "cvar_bps_max": 500,
            "adds_max": 0,
        },
    ),
    sizing=_changed(
        FOUNDATION.sizing,
        {"kelly_fraction_bps": 2_500, "probe_bps": 500, "volatility_target_bps": 75, "correlation_bps": BPS_ONE},
    ),
    exits=_changed(
        FOUNDATION.exits,
        {"stop_loss_bps": 300, "trailing_stop_bps": 250, "trailing_arm_bps": 200, "holding_s_max": 43_200},
    ),
    fees=FOUNDATION.fees,
    strategies=_STRATEGIES,
    after_gap=GapRules.protecting(1_200, 6, 150, exit_losing_h=2, exit_all_h=12),
)

AGGRESSIVE: Final = Profile(
    name="aggressive",
    title="Larger orders and wider stops, for money that may be lost.",
    limits=_changed(
        FOUNDATION.limits,
        {
            "order_bps_max": 3_500,
            "token_exposure_bps_max": 4_000,
            "total_exposure_bps_max": 9_000,
            "positions_max": 8,
            "impact_bps_max": 200,
            "slippage_bps_max": 300,
            "edge_over_cost_bps_min": 10,
            "day_loss_bps_max": 1_000,
            "drawdown_reducing_bps": 2_500,
            "drawdown_halted_bps": 4_000,
            "cooldown_s": 1_800,
            "reentry_s": 7_200,
            "gap_token_bps_max": 5_000,
            "gap_joint_bps_max": 6_000,
            "wallet_drawdown_reducing_bps": 3_000,
            "wallet_drawdown_halted_bps": 4_500,
            "bucket_drawdown_reducing_bps": 3_000,
            "bucket_drawdown_halted_bps": 5_000,
            "strategy_drawdown_reducing_bps": 3_000,
            "strategy_drawdown_halted_bps": 5_000,
            "turnover_bps_day_max": 150_000,
            "entries_day_max": 200,
            "protections": _protections(stops=8, lost_bps=1_500, stop_s=3 * 3_600),
            "cvar_bps_max": 2_000,
            "adds_max": 3,
        },
    ),
    sizing=_changed(
        FOUNDATION.sizing,
        {"kelly_fraction_bps": 7_500, "probe_bps": 2_000, "volatility_target_bps": 400, "correlation_bps": 2_500},
    ),
    exits=_changed(
        FOUNDATION.exits,
        {"stop_loss_bps": 800, "trailing_stop_bps": 700, "trailing_arm_bps": 500, "take_profit_bps": 4_000},
    ),
    fees=_changed(FOUNDATION.fees, {"priority_micro_lamports_per_cu": 250_000}),
    strategies=_STRATEGIES,
    after_gap=GapRules(gap_s=3_600, entries_wait_cycles=2, tighten_s=3_600, tighten_bps=500, exit_losing_s=24 * 3_600),
)

PROFILES: Final[tuple[Profile, ...]] = (FOUNDATION, CAUTIOUS, AGGRESSIVE)

BASELINE: Final = Profile(
    name="baseline",
    title="For baselines in backtests: a tenth of equity a token; no edge, exit rule or drawdown limit is asked for.",
    limits=_changed(
        FOUNDATION.limits,
        {
            "total_exposure_bps_max": 9_900,
            "positions_max": 1_000,
            "edge_over_cost_bps_min": -BPS_ONE,
            "day_loss_bps_max": BPS_ONE,
            "drawdown_reducing_bps": BPS_ONE,
            "drawdown_halted_bps": BPS_ONE,
            "cooldown_s": 0,
            "reentry_s": 0,
            "gap_token_bps_max": BPS_ONE,
            "adds_max": 0,
            "gap_joint_bps_max": BPS_ONE,
            **{f"{level}_drawdown_{state}_bps": BPS_ONE for level in Level for state in ("reducing", "halted")},
            "turnover_bps_day_max": TURNOVER_BPS_MAX,
            "entries_day_max": ENTRIES_MAX,
            "protections": (),
            "cvar_bps_max": BPS_ONE,
        },
    ),
    sizing=_changed(
        FOUNDATION.sizing,
        {
            "probe_bps": 1_000,
            "volatility_target_bps": BPS_ONE,
            "trades_min": 1_000,
            "drawdown_floor_bps": BPS_ONE,
            "correlation_bps": 0,
        },
    ),
    exits=_changed(
        FOUNDATION.exits,
        {
            "stop_loss_bps": 0,
            "trailing_stop_bps": 0,
            "trailing_arm_bps": 0,
            "take_profit_bps": 0,
            "holding_s_max": 365 * 86_400,
        },
    ),
    fees=FOUNDATION.fees,
    strategies=(StrategyChoice(name="buy_and_hold", weight_bps=10_000),),
)
BACKTEST_PROFILES: Final[tuple[Profile, ...]] = (*PROFILES, BASELINE)
"""What a backtest may use; a desk may use ``PROFILES`` only."""


def profile_named(name: str) -> Profile:
    """Return the built-in profile. Raises: InvalidInput."""
    for profile in PROFILES:
        if profile.name == name:
            return profile
    known = ", ".join(profile.name for profile in PROFILES)
    msg = f"profile: {name!r} is unknown; known are {known}"
    raise InvalidInput(msg, field="profile", hint=f"name one of {known}")
