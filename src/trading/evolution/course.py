"""What one search is about: its data, its days, its rules, and what decides a candidate's outcome."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from trading.errors import InvalidInput
from trading.feeds.replay import ReplayFeed
from trading.model.profile import Profile, StrategyChoice
from trading.model.profile_content import document_of
from trading.model.units import BPS_ONE, NS_PER_S, ceil_div
from trading.runtime.assembly import ENGINE_VERSION
from trading.strategies.parameters import Value
from trading.strategies.registry import ON_SWAPS

from .genome import Genome
from .kernels import screenable
from .splits import Scheme

Sampler = Literal["nsga2", "tpe"]
Screener = Literal["kernel", "engine"]
SAMPLERS: Final[tuple[Sampler, ...]] = ("nsga2", "tpe")
EVALUATION_VERSION: Final = 1
"""Part of every scope: raised when the same candidate may get other figures than before."""
DAY_NS: Final = 86_400 * NS_PER_S
TRIALS_MAX: Final = 100_000
POPULATION_DEFAULT: Final = 50
FINALISTS_DEFAULT: Final = 8
HOLDING_DAYS_MAX: Final = 30
"""Of the longest label window that is purged: a longer one would leave nothing to train on."""


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """What is asked for. ``rules`` are the desk's; its strategies are replaced by the one that is searched.

    ``trials`` is how many different candidates are evaluated; ``population`` how many are drawn before any of them is
    judged. The last ``holdout_days`` are kept from the search; ``finalists`` of its front are run in the full engine,
    there too. ``blocks`` and ``test_blocks`` are N and k of cross-validation.
    """

    strategy: str
    rules: Profile
    equity_lamports: int = 2_000_000_000
    trials: int = 500
    seed: int = 0
    sampler: Sampler = "nsga2"
    population: int = POPULATION_DEFAULT
    holdout_days: int = 0
    finalists: int = FINALISTS_DEFAULT
    blocks: int = 6
    test_blocks: int = 2

    def __post_init__(self) -> None:
        """Raises: InvalidInput."""
        bounds = {
            "trials": (self.trials, 1, TRIALS_MAX),
            "population": (self.population, 2, 1_000),
            "finalists": (self.finalists, 0, 100),
            "holdout_days": (self.holdout_days, 0, 3_650),
            "seed": (self.seed, 0, 2**31 - 1),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                msg = f"{name}: from {low} to {high}, not {value}"
                raise InvalidInput(msg, field=name)


@dataclass(frozen=True)
class Course:
    """A search over a loaded feed. The days are whole days of UTC: the search sees those from ``from_ns`` to
    ``until_ns``, and the hold-out goes on from there to ``to_ns``.

    Raises: InvalidInput where the feed has too few days, or tells no swaps to a strategy that lives on them.
    """

    spec: SearchSpec
    feed: ReplayFeed

    def __post_init__(self) -> None:
        strategy, feed = self.spec.strategy, self.feed
        if strategy in ON_SWAPS and not feed.summary.swaps:
            msg = f"{strategy} has no opinion without swaps, and {feed.description.detail} tells none"
            raise InvalidInput(msg, field="data", hint="give a file of swaps: mint,ts,side,sol,tokens")
        assert self.genome.distributions
        assert self.scheme.days

    @cached_property
    def genome(self) -> Genome:
        return Genome(self.spec.strategy)

    @property
    def screened_by(self) -> Screener:
        """Where candidates are tried: by the array kernel of the strategy where it has one, else in the engine."""
        return "kernel" if self.spec.strategy in screenable() and not self.feed.summary.swaps else "engine"

    @cached_property
    def _days(self) -> tuple[int, int]:
        first_ns, last_ns = self.feed.first_ns, self.feed.last_ns
        return (first_ns - 1) // DAY_NS, last_ns // DAY_NS

    @property
    def from_ns(self) -> int:
        return self._days[0] * DAY_NS

    @property
    def to_ns(self) -> int:
        return self._days[1] * DAY_NS

    @property
    def until_ns(self) -> int:
        return self.to_ns - self.spec.holdout_days * DAY_NS

    @cached_property
    def scheme(self) -> Scheme:
        """How the days that the search sees are cut: a position lives as long as the profile lets it."""
        holding_days = min(HOLDING_DAYS_MAX, ceil_div(self.spec.rules.exits.holding_s_max, 86_400))
        days = (self.until_ns - self.from_ns) // DAY_NS
        return Scheme(max(0, days), self.spec.blocks, self.spec.test_blocks, holding_days)

    def rules_with(self, candidate: Mapping[str, Value]) -> Profile:
        """Return the rules with the candidate as their only strategy."""
        choice = StrategyChoice(name=self.spec.strategy, weight_bps=BPS_ONE, parameters=dict(candidate))
        return self.spec.rules.model_copy(update={"strategies": (choice,)})

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What all candidates of the search have in common, as far as it decides their outcomes."""
        rules = document_of(self.spec.rules.model_copy(update={"strategies": ()}))
        return {
            "evaluation": EVALUATION_VERSION,
            "engine": ENGINE_VERSION,
            "inputs": [list(pair) for pair in self.feed.description.inputs],
            "interval_s": self.feed.description.interval_s,
            "detail": self.feed.description.detail,
            "from_ns": self.from_ns,
            "until_ns": self.until_ns,
            "rules": rules,
            "equity_lamports": self.spec.equity_lamports,
            "strategy": self.spec.strategy,
            "screened_by": self.screened_by,
        }

    def scope_of(self, candidate: Mapping[str, Value]) -> str:
        """Return what names a candidate's trial: a hash of everything that decides its outcome, and of nothing else.
        The same candidate of another search over the same days is the same trial."""
        return _hashed({**self.identity, "parameters": {name: repr(value) for name, value in candidate.items()}})

    @cached_property
    def search_id(self) -> str:
        """A hash of what decides which candidates are drawn and what becomes of them."""
        return "ev_" + _hashed(
            {
                **self.identity,
                "to_ns": self.to_ns,
                "trials": self.spec.trials,
                "seed": self.spec.seed,
                "sampler": self.spec.sampler,
                "population": self.spec.population,
                "finalists": self.spec.finalists,
                "blocks": self.spec.blocks,
                "test_blocks": self.spec.test_blocks,
            }
        )


def sampler_of(text: str) -> Sampler:
    """Return the sampler of that name. Raises: InvalidInput."""
    for each in SAMPLERS:
        if each == text:
            return each
    msg = f"sampler: {' or '.join(SAMPLERS)}, not {text[:40]!r}"
    raise InvalidInput(msg, field="sampler")


def days_of(feed: ReplayFeed) -> int:
    """Return how many days of UTC a feed has, from the one of its first bar to the last whole one."""
    return max(0, feed.last_ns // DAY_NS - (feed.first_ns - 1) // DAY_NS)


def _hashed(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:24]
