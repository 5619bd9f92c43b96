"""A generated market that behaves badly on purpose: regimes, launches, rugs, thin pools. Rules: docs/feeds.md.

Everything is integer arithmetic over a seeded counter generator, so the same options give the same events, byte for
byte, on every machine, also when a run goes on in the middle (``skip_cycles``).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final

import orjson

from trading.errors import DataError, InvalidInput
from trading.feeds.draws import Draws
from trading.feeds.synthetic_facts import SyntheticFacts
from trading.feeds.synthetic_tokens import PPM, Token, TokenFate, established, launched
from trading.model.market_data import Bar, CycleEnd, FactsKnown, FeedDescription, MarketEvent, TokenGone, TokenListed
from trading.model.memento import Memento
from trading.model.units import NS_PER_S

VERSION: Final = 2
START_S_DEFAULT: Final = 1_767_225_600  # 2026-01-01T00:00:00Z
_MICRO_USD: Final = 1_000_000
_SOL_USD_MIN: Final = 5 * _MICRO_USD
_SOL_USD_MAX: Final = 5_000 * _MICRO_USD


@dataclass(frozen=True, slots=True)
class SyntheticMarket:
    """The options. ``cycles`` None: no end. ``launch_ppm``: chance of a launch per cycle, in millionths."""

    seed: int
    interval_s: int = 300
    start_s: int = START_S_DEFAULT
    cycles: int | None = None
    tokens: int = 5
    launch_ppm: int = 8_000
    launches_alive_max: int = 6

    def __post_init__(self) -> None:
        bounds = {
            "seed": (self.seed, 0, 2**63 - 1),
            "interval_s": (self.interval_s, 1, 86_400),
            "start_s": (self.start_s, 0, 7_258_118_400),
            "cycles": (1 if self.cycles is None else self.cycles, 1, 10**9),
            "tokens": (self.tokens, 1, 64),
            "launch_ppm": (self.launch_ppm, 0, PPM),
            "launches_alive_max": (self.launches_alive_max, 0, 256),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                msg = f"{name} is {value}; allowed: {low} to {high}"
                raise InvalidInput(msg, field=name)


@dataclass(frozen=True, slots=True)
class Regime:
    """The mood of the whole market, per cycle, in millionths: drift, noise, chance to end, and LP flow.

    The figures are for five-minute bars; other lengths take them as they are.
    """

    name: str
    sol_drift_ppm: int
    sol_sd_ppm: int
    token_drift_ppm: int
    token_sd_ppm: int
    end_ppm: int
    liquidity_ppm: int


CALM: Final = Regime("calm", 4, 700, 0, 2_600, 3_000, 20)
TREND: Final = Regime("trend", 60, 1_300, 260, 4_200, 7_000, 120)
PANIC: Final = Regime("panic", -380, 3_600, -1_500, 9_500, 26_000, -700)


BOOKMARK_CYCLES: Final = 1_000
BOOKMARKS_KEPT: Final = 8


class SyntheticFeed:
    """A body of ``ports.Feed`` and ``ports.Bookmarked``. Each iteration generates the market anew, from its seed or
    from the newest place known before its first cycle."""

    def __init__(self, market: SyntheticMarket) -> None:
        self._market = market
        options = orjson.dumps({"version": VERSION, **asdict(market)}, option=orjson.OPT_SORT_KEYS)
        origin = {"kind": "synthetic", "market": asdict(market)}
        self._origin = orjson.dumps(origin, option=orjson.OPT_SORT_KEYS).decode()
        self._digest = hashlib.sha256(options).hexdigest()
        self._bookmarks: dict[int, str] = {}

    @property
    def description(self) -> FeedDescription:
        market = self._market
        return FeedDescription(
            kind="synthetic",
            detail=f"generated market, seed {market.seed}, {market.tokens} tokens and launches, "
            f"bars of {market.interval_s} s",
            interval_s=market.interval_s,
            inputs=((f"synthetic-v{VERSION}", self._digest),),
            liquidity="recorded",
            origin=self._origin,
        )

    def events(self, skip_cycles: int = 0) -> Iterator[MarketEvent]:
        """Yield the events after the first ``skip_cycles`` CycleEnds (they are generated and left out)."""
        if skip_cycles < 0:
            msg = f"skip_cycles is {skip_cycles}; expected 0 or more"
            raise InvalidInput(msg, field="skip_cycles")
        cycle, state = self._state_before(skip_cycles)
        while self._market.cycles is None or cycle < self._market.cycles:
            group = state.step(cycle)
            if cycle >= skip_cycles:
                yield from group
            cycle += 1
            if cycle % BOOKMARK_CYCLES == 0:
                self._keep(cycle, state)

    def bookmark(self, cycles: int) -> str | None:
        """Return the newest place at or before that many cycles that an iteration has passed lately."""
        known = [at for at in list(self._bookmarks) if at <= cycles]
        return self._bookmarks.get(max(known)) if known else None

    def recall(self, bookmark: str) -> None:
        """Take a place that was written down earlier; one of another market or version is left aside."""
        try:
            body = orjson.loads(bookmark)
            if body["market"] == self._digest:
                _State.at(self._market, self._digest[:16], body["state"])  # it must be one that can be gone on from
                self._bookmarks[int(body["cycles"])] = bookmark
        except (DataError, ValueError, KeyError, TypeError, AttributeError):
            return

    def _keep(self, cycles: int, state: "_State") -> None:
        body = {"market": self._digest, "cycles": cycles, "state": state.written()}
        self._bookmarks[cycles] = orjson.dumps(body).decode()
        for old in sorted(self._bookmarks)[:-BOOKMARKS_KEPT]:
            self._bookmarks.pop(old, None)

    def _state_before(self, cycles: int) -> tuple[int, "_State"]:
        found = self.bookmark(cycles)
        if found is None:
            return 0, _State(self._market, self._digest[:16])
        body = orjson.loads(found)
        return body["cycles"], _State.at(self._market, self._digest[:16], body["state"])


class _State:
    """The market as it moves. Its randomness is drawn in one fixed order."""

    def __init__(self, market: SyntheticMarket, source: str) -> None:
        self._market = market
        self._source = source
        self._draws = Draws(market.seed)
        self._facts = SyntheticFacts(market.seed)
        self._regime = CALM
        self._sol_micro_usd = 150 * _MICRO_USD
        self._tokens = [established(self._draws, number) for number in range(market.tokens)]
        self._unlisted = list(self._tokens)
        self._launches = 0

    def written(self) -> dict[str, Any]:
        """Return everything that the next cycles rest on, as JSON values."""
        return {
            "drawn": self._draws.taken,
            "regime": self._regime.name,
            "sol_micro_usd": self._sol_micro_usd,
            "tokens": Memento().encode(self._tokens),
            "launches": self._launches,
        }

    @classmethod
    def at(cls, market: SyntheticMarket, source: str, written: Mapping[str, Any]) -> "_State":
        """Return the state that was written down. Raises: DataError, KeyError, TypeError."""
        state = cls(market, source)
        state._draws = Draws(market.seed, written["drawn"])
        state._regime = {each.name: each for each in (CALM, TREND, PANIC)}[written["regime"]]
        state._sol_micro_usd = written["sol_micro_usd"]
        state._tokens = Memento().decode(written["tokens"])
        state._unlisted = []
        state._launches = written["launches"]
        return state

    def step(self, cycle: int) -> list[MarketEvent]:
        market, draws = self._market, self._draws
        open_ns = (market.start_s + cycle * market.interval_s) * NS_PER_S
        close_ns = open_ns + market.interval_s * NS_PER_S
        source = f"{self._source}:{cycle}"
        self._turn_regime()
        sol_move_ppm = self._move_sol()
        sol_usd = Decimal(self._sol_micro_usd).scaleb(-6)
        self._maybe_launch()
        events: list[MarketEvent] = []
        for token in self._unlisted:
            events.append(TokenListed(close_ns, token.instrument, source))
            self._facts.take_in(token.instrument, token.sol_lamports, close_ns, token.launch)
            known = self._facts.facts(token.instrument.mint, close_ns)
            if known is not None:
                events.append(FactsKnown(close_ns, known, source))
        self._unlisted.clear()
        alive: list[Token] = []
        for token in self._tokens:
            if token.fate is TokenFate.GONE:
                self._facts.drop(token.instrument.mint)
                events.append(TokenGone(close_ns, token.instrument.mint, token.gone_reason, source))
                continue
            regime = self._regime
            prices, volume = token.trade(
                draws, regime.token_drift_ppm + sol_move_ppm // 2, regime.token_sd_ppm, regime.liquidity_ppm
            )
            events.append(
                Bar(token.instrument.mint, open_ns, close_ns, *prices, volume, sol_usd, token.sol_lamports, source)
            )
            alive.append(token)
        self._tokens = alive
        events.append(CycleEnd(close_ns, sol_usd))
        return events

    def _turn_regime(self) -> None:
        draws = self._draws
        if draws.chance(self._regime.end_ppm):
            if self._regime is CALM:
                self._regime = PANIC if draws.chance(300_000) else TREND
            elif self._regime is TREND:
                self._regime = PANIC if draws.chance(200_000) else CALM
            else:
                self._regime = CALM

    def _move_sol(self) -> int:
        regime = self._regime
        move = regime.sol_drift_ppm + self._draws.noise(regime.sol_sd_ppm)
        # A weak pull towards 150 USD: years of generated time must stay a market.
        pull = (150 * _MICRO_USD - self._sol_micro_usd) * 20 // (150 * _MICRO_USD)
        price = self._sol_micro_usd * (PPM + move + pull) // PPM
        self._sol_micro_usd = min(max(price, _SOL_USD_MIN), _SOL_USD_MAX)
        return move

    def _maybe_launch(self) -> None:
        alive = sum(token.is_launch for token in self._tokens)
        if self._draws.chance(self._market.launch_ppm) and alive < self._market.launches_alive_max:
            token = launched(self._draws, self._launches, self._market.seed)
            self._launches += 1
            self._tokens.append(token)
            self._unlisted.append(token)
