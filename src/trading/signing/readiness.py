"""Whether real money may be armed, as a list of checks over what was found: each a pure function, with its evidence.

With worthless coins (a rehearsal) the checks that judge the strategies and the back-up are told and not required.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Final

from trading.model.mandate import Mandate, Network
from trading.model.network import host_of

ENDPOINTS_MIN: Final = 2
LAG_BLOCKS_MAX: Final = 50
BACKUP_AGE_NS_MAX: Final = 7 * 24 * 3_600 * 1_000_000_000
PAPER_DAYS_MIN: Final = 14
PAPER_TRADES_MIN: Final = 30
ROUND_TRIPS_MIN: Final = 30
_ONE_SIDED_95: Final = 1.645
_DAY_NS: Final = 24 * 3_600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """``error`` is empty for one that answered."""

    url: str
    genesis_hash: str
    block_height: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class BackupSeen:
    """A back-up whose databases were opened and read through; ``problem`` says what is wrong with it."""

    path: str
    made_ns: int
    databases: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PaperSeen:
    """A paper session and its replay. ``results`` are what each strategy's finished trades brought, net, in lamports,
    in their order; ``drifting`` the trades that the replay does otherwise."""

    run_id: str
    from_ns: int
    to_ns: int
    trades: int
    drifting: int
    results: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ReviewSeen:
    """``waiting`` intents need a person's answer; ``halted`` wallets wait for a release."""

    waiting: int
    halted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignerSeen:
    """``problem`` is empty where it answers."""

    is_unlocked: bool
    wallets: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Everything that was looked at; None where nothing was named or found."""

    now_ns: int
    mandate: Mandate
    endpoints: tuple[EndpointSeen, ...]
    signer: SignerSeen
    review: ReviewSeen
    backup: BackupSeen | None = None
    paper: PaperSeen | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """``evidence`` is what was seen, met or not; ``remedy`` what to do where it is not met."""

    name: str
    is_met: bool
    evidence: str
    remedy: str = ""
    is_required: bool = True

    @property
    def is_in_the_way(self) -> bool:
        return self.is_required and not self.is_met


def checks_of(found: Readiness) -> tuple[Check, ...]:
    """Return the whole list; arming is refused while one of it is in the way."""
    return (
        endpoints_check(found),
        genesis_check(found),
        limits_check(found),
        signer_check(found),
        review_check(found),
        backup_check(found),
        paper_check(found),
        drift_check(found),
        expectancy_check(found),
    )


def endpoints_check(found: Readiness) -> Check:
    """At least two endpoints answer, and none of those lags."""
    answering = [each for each in found.endpoints if not each.error]
    best = max((each.block_height for each in answering), default=0)
    behind = [host_of(each.url) for each in answering if best - each.block_height > LAG_BLOCKS_MAX]
    silent = [f"{host_of(each.url)} ({each.error})" for each in found.endpoints if each.error]
    met = len(answering) >= ENDPOINTS_MIN and not behind and not silent
    evidence = f"{len(answering)} of {len(found.endpoints)} answer, at block {best}"
    evidence += f"; behind: {', '.join(behind)}" if behind else ""
    evidence += f"; silent: {', '.join(silent)}" if silent else ""
    return Check("endpoints", met, evidence, f"name at least {ENDPOINTS_MIN} healthy endpoints in the mandate")


def genesis_check(found: Readiness) -> Check:
    """Every endpoint is of the chain that the mandate names."""
    seen = {each.genesis_hash for each in found.endpoints if not each.error}
    met = seen == {found.mandate.genesis_hash}
    evidence = f"the mandate says {found.mandate.genesis_hash}, the endpoints {', '.join(sorted(seen)) or 'nothing'}"
    return Check("genesis hash", met, evidence, "arm with endpoints of the mandate's chain only")


def limits_check(found: Readiness) -> Check:
    """The bounds say something: no size or fee is 0, the mandate has not ended, and a ramp is set for real money."""
    mandate = found.mandate
    bounds = ("order_lamports_max", "day_lamports_max", "fee_lamports_max", "slippage_bps_max")
    problems = [f"{name} is 0" for name in bounds if getattr(mandate, name) <= 0]
    if mandate.expires_ns <= found.now_ns:
        problems.append("it has expired")
    if mandate.network is Network.LIVE and not (mandate.ramp_trades > 0 and mandate.ramp_lamports_max > 0):
        problems.append("no ramp: ramp_trades and ramp_lamports_max")
    told = f"{mandate.order_lamports_max} lamports an order, {mandate.day_lamports_max} a day"
    return Check("limits", not problems, "; ".join(problems) or told, "set them in the mandate")


def signer_check(found: Readiness) -> Check:
    """The signer answers, is unlocked, and holds every wallet of the mandate."""
    missing = sorted(set(found.mandate.wallets) - set(found.signer.wallets))
    met = not found.signer.problem and found.signer.is_unlocked and not missing
    if found.signer.problem:
        evidence = found.signer.problem
    elif not found.signer.is_unlocked:
        evidence = "it is locked"
    else:
        evidence = f"no key of {', '.join(missing)}" if missing else f"holds {len(found.signer.wallets)} wallets"
    return Check("signer", met, evidence, "memmcp-trade signer run, signer unlock")


def review_check(found: Readiness) -> Check:
    """Nothing waits for a person."""
    review = found.review
    met = not review.waiting and not review.halted
    evidence = f"{review.waiting} intents need review, {len(review.halted)} wallets are halted"
    return Check("review queue", met, evidence, "answer them first")


def backup_check(found: Readiness) -> Check:
    """There is a back-up that was read through, and it is not old."""
    backup = found.backup
    if backup is None:
        return _judging(found, "back-up", False, "none was named", "memmcp backup DIR, then --backup DIR")
    age_ns = found.now_ns - backup.made_ns
    problem = backup.problem or ("" if backup.databases else "it holds no database")
    if not problem and not 0 <= age_ns <= BACKUP_AGE_NS_MAX:
        problem = f"it is {age_ns / _DAY_NS:.1f} days old"
    evidence = (
        f"{backup.path}: {problem or f'{backup.databases} databases, read through, {age_ns / _DAY_NS:.1f} days old'}"
    )
    return _judging(found, "back-up", not problem, evidence, "make a new one: memmcp backup DIR")


def paper_check(found: Readiness) -> Check:
    """The strategies have traded on paper, long enough and often enough."""
    paper = found.paper
    remedy = f"trade on paper for {PAPER_DAYS_MIN} days and {PAPER_TRADES_MIN} trades, then --paper RUN"
    if paper is None:
        return _judging(found, "paper record", False, "none was named", remedy)
    days = (paper.to_ns - paper.from_ns) / _DAY_NS
    met = days >= PAPER_DAYS_MIN and paper.trades >= PAPER_TRADES_MIN
    return _judging(found, "paper record", met, f"{paper.run_id}: {days:.1f} days, {paper.trades} trades", remedy)


def drift_check(found: Readiness) -> Check:
    """The paper record is what this version does on the same data."""
    paper = found.paper
    if paper is None:
        return _judging(found, "drift", False, "no paper record", "name one with --paper RUN")
    evidence = f"{paper.drifting} trades of {paper.trades} differ from the replay"
    return _judging(found, "drift", paper.drifting == 0, evidence, "see memmcp-trade drift RUN")


def expectancy_check(found: Readiness) -> Check:
    """What a trade of each strategy brings after costs is above zero also at the lower end (one-sided 95 %)."""
    paper = found.paper
    if paper is None or not paper.results:
        return _judging(found, "net expectancy", False, "no strategy has finished a trade", "trade on paper longer")
    told, met = [], True
    for name, results in sorted(paper.results.items()):
        low = lower_end(results)
        met = met and low is not None and low > 0
        text = f"too few trades ({len(results)})" if low is None else f"at least {low:,.0f} lamports a trade"
        told.append(f"{name}: {text}")
    return _judging(found, "net expectancy", met, "; ".join(told), "trade only strategies that earn their costs")


def lower_end(results: Sequence[int]) -> float | None:
    """Return the lower end of the mean's one-sided 95 % interval, None for fewer than ``ROUND_TRIPS_MIN`` results."""
    if len(results) < ROUND_TRIPS_MIN:
        return None
    return mean(results) - _ONE_SIDED_95 * stdev(results) / math.sqrt(len(results))


def _judging(found: Readiness, name: str, is_met: bool, evidence: str, remedy: str) -> Check:
    """Return a check that is required for real money alone."""
    return Check(name, is_met, evidence, remedy, is_required=found.mandate.network is Network.LIVE)
