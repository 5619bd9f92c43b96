"""Drawdown defence below the account: one guard for each wallet, bucket and strategy.

A level demands for itself what the account's guard demands for the desk: REDUCING and HALTED deny what adds exposure
there, and sell what is held there.

What a level is worth:

- a wallet: everything in it;
- a bucket: its cash, rent deposits and its share of every token that it holds, at liquidation value;
- a strategy: its own bucket without what others traded in it, and with what it traded in others. So a person's trade in
  the bucket of a strategy can halt the bucket and says nothing about the strategy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from trading.model.account import Level, TradingState
from trading.model.profile import DrawdownLimits, Limits
from trading.model.trading_day import TradingDay
from trading.model.wallet import MAIN

from .drawdown import DrawdownGuard

WALLET: Final = MAIN
"""The wallet of a desk that has one."""

LevelKey = tuple[Level, str]


def level_key(written: str) -> LevelKey:
    """Return the level that is written ``bucket:NAME``. Raises: ValueError for another word before the colon."""
    level, _, name = written.partition(":")
    return Level(level), name


@dataclass(frozen=True, slots=True)
class LevelChange:
    level: Level
    name: str
    before: TradingState
    after: TradingState
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """A level that is not ACTIVE."""

    level: Level
    name: str
    state: TradingState
    reason: str


class LevelBook:
    """The guards, and the states that were journalled. Levels appear with their first money."""

    def __init__(self, limits: Limits, calendar: TradingDay) -> None:
        self._limits = limits
        self._calendar = calendar
        self.is_watching = _is_watched(limits)
        """Whether any level has a drawdown limit that can be crossed."""
        self._guards: dict[LevelKey, DrawdownGuard] = {}
        self._told: dict[LevelKey, TradingState] = {}
        """The journalled states other than ACTIVE."""
        self._begins = True
        """Whether peaks begin at the next mark: nothing was watched before."""
        self.foreign_lamports: dict[tuple[str, str], int] = {}
        """What (bucket, strategy) has realised, failed transactions included, where the bucket is another's."""

    def use(self, limits: Limits, calendar: TradingDay) -> None:
        """Go on under the limits of another profile, with days of this calendar. Where nothing was watched, peaks begin
        at the next mark."""
        self._begins = self._begins or not self.is_watching
        self._limits = limits
        self._calendar = calendar
        self.is_watching = _is_watched(limits)
        for (level, _), guard in self._guards.items():
            guard.use(limits.drawdown_of(level), calendar)

    def known(self) -> Iterator[LevelKey]:
        """Yield the levels that have money, or had some."""
        yield from self._guards

    def flow(self, bucket: str, lamports: int, *, is_external: bool, wallet: str = WALLET) -> None:
        """Take money into the bucket (or out of it, below 0), from outside or from another bucket."""
        self._guard((Level.BUCKET, bucket)).flow(lamports)
        self._guard((Level.STRATEGY, bucket)).flow(lamports)
        if is_external:
            self.wallet_flow(wallet, lamports)

    def wallet_flow(self, wallet: str, lamports: int) -> None:
        """Take value into a wallet, or out of it, below 0: from outside, or from another one."""
        self._guard((Level.WALLET, wallet)).flow(lamports)

    def realised(self, bucket: str, strategy: str, lamports: int) -> None:
        """Take what a trade brought, or a failed one cost, where the bucket is not the strategy's own."""
        if bucket != strategy:
            key = (bucket, strategy)
            self.foreign_lamports[key] = self.foreign_lamports.get(key, 0) + lamports

    def mark(self, ts_ns: int, worth: Mapping[LevelKey, int]) -> None:
        """Take what each level is worth at liquidation value."""
        begins, self._begins = self._begins, False
        for key, guard in self._guards.items():
            if begins:
                guard.begin(worth[key])
            guard.mark(ts_ns, worth[key])

    def drift(self, worth: Mapping[LevelKey, int]) -> None:
        """Take what each level is worth in cycles that were within the corridor."""
        for key, guard in self._guards.items():
            guard.drift(worth[key])

    def slack(self, key: LevelKey, worth_lamports: int) -> tuple[int, int]:
        """Return by how much the level may fall and rise before a mark would change more than its worth."""
        low, high = self._guards[key].corridor()
        return worth_lamports - low, high - worth_lamports

    def changes(self) -> list[LevelChange]:
        """Return what the guards demand and the journal does not know."""
        found: list[LevelChange] = []
        for key, guard in self._guards.items():
            before = self._told.get(key, TradingState.ACTIVE)
            if guard.state is not before:
                found.append(LevelChange(*key, before, guard.state, guard.reason))
        return found

    def told(self, level: Level, name: str, state: TradingState) -> None:
        """Take a journalled state."""
        if state is TradingState.ACTIVE:
            self._told.pop((level, name), None)
        else:
            self._told[level, name] = state

    def held(self, bucket: str, strategy: str, wallet: str | None = WALLET) -> Held | None:
        """Return the first level of wallet, bucket and strategy that does not let an entry pass; ``wallet``: None where
        it is not chosen yet."""
        for key in _keys(bucket, strategy, wallet):
            state = self._told.get(key)
            if state is not None:
                return Held(*key, state, self._guards[key].reason)
        return None

    def held_wallet(self, wallet: str) -> Held | None:
        """Return the wallet's own level where it lets no entry pass."""
        key = (Level.WALLET, wallet)
        state = self._told.get(key)
        return None if state is None else Held(*key, state, self._guards[key].reason)

    def state_of(self, key: LevelKey) -> tuple[TradingState, str]:
        """Return the journalled state of one level, and why it is not ACTIVE."""
        state = self._told.get(key, TradingState.ACTIVE)
        return state, "" if state is TradingState.ACTIVE else self._guards[key].reason

    def selling(self, bucket: str, strategy: str, wallet: str | None = WALLET) -> Held | None:
        """Return the first level that lets (bucket, strategy) hold nothing; an operator's REDUCING sells nothing."""
        return next((found for key in _keys(bucket, strategy, wallet) if (found := self._selling(key))), None)

    def selling_wallet(self, wallet: str) -> Held | None:
        """Return the wallet's own level where it lets it hold nothing."""
        return self._selling((Level.WALLET, wallet))

    def _selling(self, key: LevelKey) -> Held | None:
        guard = self._guards.get(key)
        return Held(*key, guard.state, guard.reason) if guard is not None and guard.is_selling else None

    @property
    def is_resting(self) -> bool:
        """Whether a level reduces, or is halted: then every cycle has a say."""
        return any(guard.state is not TradingState.ACTIVE for guard in self._guards.values())

    def demand(self, key: LevelKey, state: TradingState, reason: str) -> None:
        """Let an operator reduce or halt a level that is among ``known``."""
        self._guards[key].demand(state, reason)

    def resume(self, ts_ns: int, key: LevelKey | None = None) -> None:
        """Return one level, or all of them, to ACTIVE; peaks start from the present worth."""
        for each, guard in self._guards.items():
            if key is None or each == key:
                guard.resume(ts_ns, guard.equity_lamports)

    def figures(self) -> Iterator[tuple[LevelKey, DrawdownGuard, DrawdownLimits]]:
        """Yield each level with its guard and its limits, for people."""
        for key, guard in self._guards.items():
            yield key, guard, self._limits.drawdown_of(key[0])

    def _guard(self, key: LevelKey) -> DrawdownGuard:
        guard = self._guards.get(key)
        if guard is None:
            guard = self._guards[key] = DrawdownGuard(self._limits.drawdown_of(key[0]), self._calendar)
        return guard


def _keys(bucket: str, strategy: str, wallet: str | None) -> Iterator[LevelKey]:
    if wallet is not None:
        yield Level.WALLET, wallet
    yield Level.BUCKET, bucket
    yield Level.STRATEGY, strategy


def _is_watched(limits: Limits) -> bool:
    return any(limits.drawdown_of(level).is_watched for level in Level)
