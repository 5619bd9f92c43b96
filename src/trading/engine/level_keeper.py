"""Keeps the levels below the account: marks them, journals what they demand, and knows when they cannot matter."""

from trading.errors import InvalidInput
from trading.model import events
from trading.model.account import Level
from trading.model.position import Position
from trading.risk.levels import WALLET, LevelKey

from .state import DeskState
from .trader import Emit
from .valuation import Valuation, Valuer

ValueBounds = dict[str, tuple[int, int]]
"""By token: the lowest and the highest that all of it may be worth, both included."""


class LevelKeeper:
    def __init__(self, state: DeskState, valuer: Valuer, emit: Emit) -> None:
        self._state = state
        self._valuer = valuer
        self._emit = emit
        self._is_stale = False
        """Whether there were quiet cycles since the levels were marked."""

    def mark(self, valuation: Valuation) -> None:
        """Take what each level is worth at the end of a cycle, without a row."""
        self._is_stale = False
        if self._state.levels.is_watching:
            self._state.levels.mark(self._state.now_ns, self.worth(valuation))

    def tell(self) -> None:
        """Journal the states that the guards demand, where they are others than before."""
        for change in self._state.levels.changes():
            name, before, after = change.name, change.before, change.after
            self._emit(events.LevelStateChanged(self._state.now_ns, change.level, name, before, after, change.reason))

    def drifted(self) -> None:
        """Note a cycle in which every token stayed within ``bounds``."""
        self._is_stale = True

    def refresh(self) -> None:
        """Bring the levels up to the last end of a cycle: before money moves, or a person looks."""
        if self._is_stale and self._state.levels.is_watching:
            self._state.levels.drift(self.worth(self._valuer.value()))
        self._is_stale = False

    def worth(self, valuation: Valuation) -> dict[LevelKey, int]:
        """Return what each level is worth, in lamports (see ``risk.levels``)."""
        state = self._state
        worth: dict[LevelKey, int] = {}
        for key in state.levels.known():
            if key[0] is Level.WALLET:
                worth[key] = self._wallet_worth(key[1], valuation)
                continue
            bucket = state.ledger.buckets.get(key[1])
            worth[key] = 0 if bucket is None else bucket.cash_lamports + bucket.rent_lamports
        for position in state.ledger.positions():
            value = self._valuer.position_lamports(position, valuation)
            worth[Level.BUCKET, position.bucket] += value
            if position.strategy == position.bucket:
                worth[Level.STRATEGY, position.bucket] += value
            else:  # to the strategy that owns the bucket it is still what was paid for it
                worth[Level.STRATEGY, position.bucket] += position.cost_lamports
                _add(worth, position.strategy, value - position.cost_lamports)
        for (bucket_name, strategy), lamports in state.levels.foreign_lamports.items():
            _add(worth, bucket_name, -lamports)
            _add(worth, strategy, lamports)
        return worth

    def _wallet_worth(self, name: str, valuation: Valuation) -> int:
        book = self._state.wallets
        if book is None:
            return valuation.equity_lamports
        wallet = book.wallets.get(name)
        if wallet is None:
            return 0
        deposits = sum(wallet.deposits.values())
        return wallet.lamports + deposits + self._valuer.wallet_tokens_lamports(name, valuation)

    def bounds(self, valuation: Valuation) -> ValueBounds | None:
        """Return within which values of the tokens held no level can change but in worth; None where none is watched.

        What a level may fall or rise by is shared equally between the tokens in it, and one lamport a token is left for
        rounding. So wherever each token goes within its bounds, no level leaves its corridor.
        """
        state = self._state
        if not state.levels.is_watching:
            return None
        tokens: dict[LevelKey, set[str]] = {}
        for position in state.ledger.positions():
            for key in self._levels_of(position):
                tokens.setdefault(key, set()).add(position.mint)
        worth = self.worth(valuation)
        bounds: ValueBounds = {}
        for key, mints in tokens.items():
            if key not in worth:
                continue  # a strategy without a bucket of its own
            fall, rise = (max(0, each // len(mints) - 1) for each in state.levels.slack(key, worth[key]))
            for mint in mints:
                value = valuation.by_mint.get(mint, 0)
                low, high = bounds.get(mint, (0, value + rise))
                bounds[mint] = (max(low, value - fall), min(high, value + rise))
        return bounds

    def key_of(self, level: str) -> LevelKey:
        """Return the level that is written ``bucket:NAME``. Raises: InvalidInput naming what there is."""
        known = {f"{key[0]}:{key[1]}": key for key in self._state.levels.known()}
        if level not in known:
            msg = f"level: {level!r} is unknown; known are {', '.join(sorted(known)) or 'none yet'}"
            raise InvalidInput(msg, field="level")
        return known[level]

    def positions_of(self, key: LevelKey) -> list[Position]:
        """Return what is held in the level."""
        return [each for each in self._state.ledger.positions() if key in self._levels_of(each)]

    def _levels_of(self, position: Position) -> tuple[LevelKey, ...]:
        book = self._state.wallets
        wallets = (WALLET,) if book is None else book.holders(position.mint)
        own = ((Level.BUCKET, position.bucket), (Level.STRATEGY, position.strategy))
        return (*((Level.WALLET, name) for name in wallets), *own)


def _add(worth: dict[LevelKey, int], strategy: str, lamports: int) -> None:
    key = (Level.STRATEGY, strategy)
    if key in worth:
        worth[key] += lamports
