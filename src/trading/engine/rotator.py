"""Once a day: what each strategy's closed day brought, and which share of the capital it has from now on.

It reads the desk's own books as of now and nothing else. What it decides is one row, before any cash moves
(``treasury.keep_shares``); a desk whose profile does not let shares rotate has no such row.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from trading.model import events
from trading.model.account import Level
from trading.model.rotation import RotationVerdict, StrategyShare
from trading.model.units import NS_PER_S
from trading.portfolio.rotation import MILLION, Decision, Seat, decide, joined, learned, shrunken_mean_ppm
from trading.strategies.registry import module_of

from .level_keeper import LevelKeeper
from .state import DeskState
from .treasury import capital_of, shares_of, weights_of
from .valuation import Valuation, Valuer

DAY_NS: Final = 86_400 * NS_PER_S
WINDOW_NS_MAX: Final = 2 * DAY_NS
"""What was made in a longer one, while the desk slept or rotated nothing, is not counted as a day's."""
RETURN_PPM_MAX: Final = MILLION
"""A window counts as at most a doubling; the forecaster's own range is far below."""
REASONS: Final[Mapping[RotationVerdict, str]] = {
    RotationVerdict.WARMING_UP: "fewer than two strategies have {days} closed days",
    RotationVerdict.BY_HAND: "a move by hand stands for {hold} days",
    RotationVerdict.SETTLED: "the shares are within a little of where they should be",
    RotationVerdict.NOT_WORTH_IT: "{gain} ppm are expected of the move over {horizon} days, it is taken to cost {cost}",
    RotationVerdict.MOVED: "{gain} ppm are expected of the move over {horizon} days, more than its cost of {cost}",
}

Emit = Callable[[events.SharesRotated], Any]


class Rotator:
    def __init__(self, state: DeskState, valuer: Valuer, levels: LevelKeeper, emit: Emit) -> None:
        self._state = state
        self._valuer = valuer
        self._levels = levels
        self._emit = emit

    def look(self, valuation: Valuation) -> None:
        """Take the day that is over, at the first cycle of another one, after the levels were marked."""
        state, rules = self._state, self._state.profile.buckets
        weights = weights_of(state.profile)
        if not rules.rotates or len(weights) < 2:
            return
        profits = self._profits(weights, valuation)
        returns = self._returns_ppm(profits)
        book = state.rotation
        beliefs = joined({name: each.belief_ppb for name, each in book.standings.items()}, list(weights))
        beliefs = learned(beliefs, returns) if returns else beliefs
        past = {name: book.returns_ppm(name) for name in weights}
        for name, each in returns.items():
            past[name].append(each)
        barred = {name: self._barred(name) for name in weights}
        rests = state.now_ns < book.rests_until_ns(rules.rotation_hold_days * DAY_NS)
        before = self._held_bps(weights, valuation) if book.by_hand_ns else shares_of(state)
        seats = {
            name: Seat(
                before_bps=before[name],
                belief_ppb=beliefs[name],
                mean_ppm=shrunken_mean_ppm(past[name]),
                windows=self._windows(name) + (name in returns),
                barred=bool(barred[name]),
            )
            for name in weights
        }
        decision = Decision(RotationVerdict.BY_HAND, before, before) if rests else decide(seats, rules)
        self._emit(
            events.SharesRotated(
                ts_ns=state.now_ns,
                rule=rules.rotation,
                verdict=decision.verdict,
                gain_ppm=decision.gain_ppm,
                cost_ppm=decision.cost_ppm,
                shares=tuple(
                    StrategyShare(
                        strategy=name,
                        return_ppm=returns.get(name),
                        windows=seat.windows,
                        belief_ppb=seat.belief_ppb,
                        mean_ppm=seat.mean_ppm,
                        profit_lamports=profits[name],
                        before_bps=seat.before_bps,
                        target_bps=decision.target_bps[name],
                        after_bps=decision.after_bps[name],
                        barred=barred[name],
                    )
                    for name, seat in seats.items()
                ),
                reason=self._reason(decision),
            )
        )

    def _profits(self, weights: Mapping[str, int], valuation: Valuation) -> dict[str, int]:
        """Return all that each strategy ever made, what it holds at liquidation value; what others traded in its bucket
        is theirs (``risk.levels``)."""
        worth = self._levels.worth(valuation)
        buckets = self._state.ledger.buckets
        return {
            name: worth.get((Level.STRATEGY, name), 0) - (buckets[name].net_deposits_lamports if name in buckets else 0)
            for name in weights
        }

    def _returns_ppm(self, profits: Mapping[str, int]) -> dict[str, int]:
        """Return what the window brought on the capital in it, of those that had some. Money that came or went within
        the window counts as if it had been there from its beginning, or gone."""
        found: dict[str, int] = {}
        last = self._state.rotation.last
        if last is None or self._state.now_ns - last.ts_ns > WINDOW_NS_MAX:
            return found
        for name, profit in profits.items():
            standing, bucket = self._state.rotation.standings.get(name), self._state.ledger.buckets.get(name)
            if standing is None or bucket is None:
                continue
            made = profit - standing.profit_lamports
            capital = standing.profit_lamports + bucket.net_deposits_lamports
            if capital > 0:
                share = abs(made) * MILLION // capital
                found[name] = min(RETURN_PPM_MAX, share) * (1 if made >= 0 else -1)
        return found

    def _windows(self, name: str) -> int:
        standing = self._state.rotation.standings.get(name)
        return 0 if standing is None else standing.windows

    def _held_bps(self, weights: Mapping[str, int], valuation: Valuation) -> dict[str, int]:
        """Return the shares that the strategies have in fact, of what the weights give out together."""
        capital = capital_of(self._state, self._valuer, valuation)
        worth = {name: max(0, capital.get(name, 0)) for name in weights}
        whole, total = sum(worth.values()), sum(weights.values())
        if not whole:
            return dict(weights)
        found = {name: total * each // whole for name, each in worth.items()}
        largest = max(found, key=lambda name: (found[name], name))
        found[largest] += total - sum(found.values())
        return found

    def _barred(self, name: str) -> str:
        """Return why the strategy gets nothing new, "" where it may."""
        demoted = self._state.promotions.demoted(name)
        if demoted is not None:
            return f"{demoted.candidate} was demoted: {demoted.reason}"
        held = self._state.levels.held(name, name, self._valuer.routing.scope)
        if held is not None:
            return f"{held.level.value} {held.state.value.lower()}: {held.reason}"
        module = module_of(name)
        return "" if self._state.tier.admits(module) else f"{module} does not enter in tier {self._state.tier.name}"

    def _reason(self, decision: Decision) -> str:
        rules = self._state.profile.buckets
        return REASONS[decision.verdict].format(
            days=rules.rotation_warmup_days,
            hold=rules.rotation_hold_days,
            horizon=rules.rotation_horizon_days,
            gain=decision.gain_ppm,
            cost=decision.cost_ppm,
        )
