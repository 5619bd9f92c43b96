"""When a position is sold, as pure functions of its figures: stop, trailing stop, target, time."""

from dataclasses import dataclass
from decimal import Decimal

from trading.model.position import Position
from trading.model.profile import ExitRules
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, NS_PER_S, ceil_div, ratio_bps, token_scale

_WIDER = 1 + Decimal("1e-9")
_NO_PRICE = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class ExitView:
    """The position's token now. ``peak_sol`` is the highest close since the position was opened."""

    now_ns: int
    close_sol: Decimal
    peak_sol: Decimal
    decimals: int


@dataclass(frozen=True, slots=True)
class ExitDecision:
    """``rule`` is a word to count by; ``used`` against ``limit`` in ``unit`` is why."""

    rule: str
    message: str
    used: int
    limit: int
    unit: str


def decide_exit(rules: ExitRules, position: Position, view: ExitView) -> ExitDecision | None:
    """Return the first rule that sells the position, None where it may stay. A limit of 0 switches a rule off."""
    return (
        stop_loss(rules, position, view)
        or holding_time(rules, position, view)
        or trailing_stop(rules, position, view)
        or take_profit(rules, position, view)
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """While its token closes above ``low_sol`` and at most at ``high_sol``, before ``until_ns``, no rule sells the
    position: a close above ``peak_sol`` is a new peak and changes no rule. Bounds err on the narrow side: a close
    outside only says that the rules are asked."""

    low_sol: Decimal
    high_sol: Decimal
    until_ns: int
    peak_sol: Decimal


def watch(rules: ExitRules, position: Position, peak_sol: Decimal, decimals: int) -> Watch:
    """Return the range of closes in which ``decide_exit`` has nothing to say of a position with this peak."""
    scale = Decimal(token_scale(decimals)) / (position.base_units * LAMPORTS_PER_SOL)
    cost = position.cost_lamports
    low, high = Decimal(0), _NO_PRICE
    if rules.stop_loss_bps:
        low = (cost - position.risked_lamports * rules.stop_loss_bps // BPS_ONE + 1) * scale * _WIDER
    if rules.take_profit_bps:
        high = (cost + cost * rules.take_profit_bps // BPS_ONE - 1) * scale / _WIDER
    if rules.trailing_stop_bps:
        is_armed = _return_bps(position, peak_sol, decimals) >= rules.trailing_arm_bps
        if is_armed:
            low = max(low, peak_sol * (BPS_ONE - rules.trailing_stop_bps) / BPS_ONE * _WIDER)
        if is_armed or not rules.trailing_arm_bps:
            high = min(high, peak_sol)
        else:  # a new peak is nothing until it arms the stop
            high = min(high, (cost + cost * rules.trailing_arm_bps // BPS_ONE - 1) * scale / _WIDER)
    return Watch(low, high, position.opened_ns + rules.holding_s_max * NS_PER_S, peak_sol)


def stop_loss(rules: ExitRules, position: Position, view: ExitView) -> ExitDecision | None:
    """Sell at a loss of ``stop_loss_bps`` of what was risked first: additions raise the stop and risk nothing more."""
    loss = position.cost_lamports - position.value_lamports(view.close_sol, view.decimals)
    most = ceil_div(position.risked_lamports * rules.stop_loss_bps, BPS_ONE)
    if not rules.stop_loss_bps or loss < most:
        return None
    loss_bps, limit_bps = (ratio_bps(each, position.cost_lamports) for each in (loss, most))
    return ExitDecision("stop_loss", f"{loss_bps} bps below cost", loss_bps, limit_bps, "bps")


def take_profit(rules: ExitRules, position: Position, view: ExitView) -> ExitDecision | None:
    gain_bps = _return_bps(position, view.close_sol, view.decimals)
    if not rules.take_profit_bps or gain_bps < rules.take_profit_bps:
        return None
    return ExitDecision("take_profit", f"{gain_bps} bps above cost", gain_bps, rules.take_profit_bps, "bps")


def trailing_stop(rules: ExitRules, position: Position, view: ExitView) -> ExitDecision | None:
    """Sell after a drop from the best close, once the position was up enough for the stop to be armed."""
    if not rules.trailing_stop_bps or view.peak_sol <= 0:
        return None
    if _return_bps(position, view.peak_sol, view.decimals) < rules.trailing_arm_bps:
        return None
    drop_bps = int((view.peak_sol - view.close_sol) * BPS_ONE / view.peak_sol)
    if drop_bps < rules.trailing_stop_bps:
        return None
    message = f"{drop_bps} bps below the best close since entry"
    return ExitDecision("trailing_stop", message, drop_bps, rules.trailing_stop_bps, "bps")


def holding_time(rules: ExitRules, position: Position, view: ExitView) -> ExitDecision | None:
    held_s = (view.now_ns - position.opened_ns) // NS_PER_S
    if held_s < rules.holding_s_max:
        return None
    return ExitDecision("holding_time", f"held for {held_s} s", held_s, rules.holding_s_max, "s")


def _return_bps(position: Position, price_sol: Decimal, decimals: int) -> int:
    return ratio_bps(position.value_lamports(price_sol, decimals) - position.cost_lamports, position.cost_lamports)


class PeakPrices:
    """The highest close of each open position since it was opened."""

    def __init__(self) -> None:
        self._peaks: dict[tuple[str, str], Decimal] = {}

    def observe(self, bucket: str, mint: str, close_sol: Decimal) -> Decimal:
        """Take a close and return the peak so far; the first close of a position starts it."""
        peak = max(self._peaks.get((bucket, mint), close_sol), close_sol)
        self._peaks[(bucket, mint)] = peak
        return peak

    def forget(self, bucket: str, mint: str) -> None:
        """Drop the peak of a position that was closed."""
        self._peaks.pop((bucket, mint), None)
