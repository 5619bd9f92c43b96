"""One token of the synthetic market: a constant-product pool that other people's swaps move, and its fate."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import Enum
from math import isqrt
from typing import Final

from trading.feeds.draws import Draws
from trading.feeds.instruments import LAUNCH_POOL_FEE_BPS
from trading.feeds.synthetic_facts import SPRINGS, Launch, Trap, planted, with_terms
from trading.model.instrument import Instrument
from trading.model.units import LAMPORTS_PER_SOL

PPM: Final = 1_000_000
DECIMALS: Final = 6
SWAPS_A_BAR: Final = 4
_UNITS: Final = 10**DECIMALS
_SOL_PER_UNIT_SCALE: Final = DECIMALS - 9
_SUPPLY_UNITS: Final = 1_000_000_000 * _UNITS
_ABANDONED_LAMPORTS: Final = 2 * LAMPORTS_PER_SOL
_RUG_LEFT_PPM: Final = 4_000
_MOVE_MAX_PPM: Final = 400_000
_ESTABLISHED_FLOOR_LAMPORTS: Final = 60 * LAMPORTS_PER_SOL
_QUOTIENT: Final = Context(prec=18, rounding=ROUND_HALF_EVEN)
_NAMES: Final = ("ALFA", "BIRCH", "COMET", "DELTA", "EMBER", "FJORD", "GROVE", "HELIO")


class TokenFate(Enum):
    """What becomes of a token: established tokens stay; a launch runs, fades or is rugged; then it is gone."""

    STAYS = "stays"
    RUNS = "runs"
    FADES = "fades"
    RUGS = "rugs"
    GONE = "gone"


@dataclass(slots=True)
class Token:
    """The pool (integer reserves) and the mood. ``mood_ppm`` is a drift of its own, ``mood_left`` its cycles."""

    instrument: Instrument
    sol_lamports: int
    base_units: int
    fate: TokenFate
    is_launch: bool
    beta_ppm: int
    age: int = 0
    turn_at: int = 0
    mood_ppm: int = 0
    mood_left: int = 0
    stretch_ppm: int = 0
    gone_reason: str = ""
    launch: Launch | None = None

    def trade(
        self, draws: Draws, drift_ppm: int, sd_ppm: int, liquidity_ppm: int
    ) -> tuple[tuple[Decimal, Decimal, Decimal, Decimal], Decimal]:
        """Let a bar's worth of swaps happen; return (open, high, low, close) in SOL per token and the volume."""
        self.age += 1
        opened = high = low = close = self._price()
        volume_units = 0
        if self.fate is TokenFate.RUGS and self.age >= self.turn_at:
            volume_units = self._spring()
            close = low = self._price()
        else:
            drift = drift_ppm * self.beta_ppm // PPM + self._own_drift(draws)
            spread = sd_ppm * self.beta_ppm // PPM
            for _ in range(SWAPS_A_BAR):
                volume_units += self._swap(drift // SWAPS_A_BAR + draws.noise(spread // 2))
                close = self._price()
                high, low = max(high, close), min(low, close)
            self._provide(liquidity_ppm)
            if self.is_launch and self.sol_lamports < _ABANDONED_LAMPORTS:
                self.fate, self.gone_reason = TokenFate.GONE, "the pool is abandoned"
        return (opened, high, low, close), Decimal(volume_units).scaleb(-DECIMALS)

    def _price(self) -> Decimal:
        return _QUOTIENT.divide(Decimal(self.sol_lamports), Decimal(self.base_units)).scaleb(_SOL_PER_UNIT_SCALE)

    def _swap(self, move_ppm: int) -> int:
        """Move the price by this much along the pool's curve; return the base units that changed hands."""
        move = min(max(move_ppm, -_MOVE_MAX_PPM), _MOVE_MAX_PPM)
        product = self.sol_lamports * self.base_units
        self.sol_lamports = max(isqrt(self.sol_lamports * self.sol_lamports * (PPM + move) // PPM), 1)
        before = self.base_units
        self.base_units = -(-product // self.sol_lamports)
        self.stretch_ppm = self.stretch_ppm * 63 // 64 + move
        return abs(self.base_units - before)

    def _own_drift(self, draws: Draws) -> int:
        """Moods (runs and slides that last), and for established tokens a pull back after a stretch."""
        if self.mood_left:
            self.mood_left -= 1
        elif draws.chance(6_000):
            self.mood_left = draws.between(12, 60)
            self.mood_ppm = draws.noise(3_200)
        else:
            self.mood_ppm = 0
        match self.fate:
            case TokenFate.STAYS:
                return self.mood_ppm - (self.stretch_ppm // 40 if not self.mood_left else 0) + self._anchor()
            case TokenFate.RUNS:
                return self.mood_ppm + (9_000 if self.age < self.turn_at else -7_000)
            case TokenFate.RUGS:
                return self.mood_ppm + 14_000
            case _:
                return self.mood_ppm - 9_000

    def _anchor(self) -> int:
        """A shallow pool attracts buyers: without it a random walk of months ends at nothing."""
        if self.sol_lamports < _ESTABLISHED_FLOOR_LAMPORTS:
            return 3_000
        return -3_000 if self.sol_lamports > 4_000 * _ESTABLISHED_FLOOR_LAMPORTS else 0

    def _provide(self, liquidity_ppm: int) -> None:
        """Providers come and go on both sides alike, so the price stays."""
        deep = self.sol_lamports > 400 * _ESTABLISHED_FLOOR_LAMPORTS
        if self.is_launch or (liquidity_ppm > 0 and deep) or self.sol_lamports < 2 * _ESTABLISHED_FLOOR_LAMPORTS:
            return
        self.sol_lamports = self.sol_lamports * (PPM + liquidity_ppm) // PPM
        self.base_units = self.base_units * (PPM + liquidity_ppm) // PPM

    def _spring(self) -> int:
        """The owner withdraws the pool and dumps into what is left, or freezes everybody: this bar is the last."""
        trap = Trap.LIQUIDITY_FREE if self.launch is None else self.launch.trap
        self.fate, self.gone_reason = TokenFate.GONE, SPRINGS[trap]
        if trap is Trap.FREEZE_AUTHORITY:
            return 0
        self.sol_lamports = max(self.sol_lamports * _RUG_LEFT_PPM // PPM, 1)
        sold = self.base_units
        self.base_units *= 2
        return sold


def established(draws: Draws, number: int) -> Token:
    """Return one of the tokens that are there from the start: 400 to 6,000 SOL deep, mint ``sim:NAME``."""
    name = _NAMES[number] if number < len(_NAMES) else f"TOK{number}"
    depth = draws.between(400, 6_000) * LAMPORTS_PER_SOL
    return Token(
        instrument=Instrument(f"sim:{name}", name, DECIMALS, pool_lamports_default=depth),
        sol_lamports=depth,
        base_units=_SUPPLY_UNITS * draws.between(2, 30) // 100,
        fate=TokenFate.STAYS,
        is_launch=False,
        beta_ppm=draws.between(700_000, 1_600_000),
    )


def launched(draws: Draws, number: int, seed: int) -> Token:
    """Return a new token: a small pool, wild, and in one case of three a rug. Mint ``sim:NEWnnnnn``.

    ``seed`` plants its trap.
    """
    depth = draws.between(30, 120) * LAMPORTS_PER_SOL
    draw = draws.below(100)
    fate = TokenFate.RUGS if draw < 33 else TokenFate.RUNS if draw < 60 else TokenFate.FADES
    name = f"NEW{number:05d}"
    launch = planted(seed, number, is_rug=fate is TokenFate.RUGS)
    return Token(
        instrument=with_terms(seed, launch, Instrument(f"sim:{name}", name, DECIMALS, LAUNCH_POOL_FEE_BPS, depth)),
        sol_lamports=depth,
        base_units=_SUPPLY_UNITS * 20 // 100,
        fate=fate,
        is_launch=True,
        beta_ppm=draws.between(1_500_000, 3_500_000),
        turn_at=draws.between(10, 120),
        launch=launch,
    )
