"""The vocabulary of the desk's journal: participles, each a frozen record that encodes to ints and strings only.

The feed's own events (``market_data``) and ``commands`` are the inputs; what is here is what the desk made of them.
``encode`` and ``decode`` are inverse to each other for every event.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from .account import Level, TradingState
from .advice import AdviceScore
from .forecast import Forecast, ForecastScore, OrderImpact, RankedToken
from .gap import GapStep
from .order import LATER, Denied, Fill, Measure, Order, Rejected, Signal
from .profile_content import ProfileChange
from .promotion import GateReading, PromotionTerms, Stage
from .recall import Recollection, Situation
from .rotation import RotationVerdict, StrategyShare
from .wallet import MAIN, WalletTerms
from .window import CalibrationBin, WindowCell


@dataclass(frozen=True, slots=True)
class RunStarted:
    """``parameters`` are those of every strategy, in canonical JSON; ``conditions`` those of the chain that fills are
    simulated in, empty for ideal ones. ``content`` is the whole profile, so that no file is needed to go on. ``zone``
    is the one whose days are counted, empty for UTC."""

    run_id: str
    mode: str
    profile: str
    feed: str
    parameters: str
    seed: int
    conditions: str = field(default="", metadata=LATER)
    content: str = field(default="", metadata=LATER)
    zone: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class CapitalDeposited:
    """``key`` makes a repeat harmless."""

    key: str
    ts_ns: int
    bucket: str
    lamports: int
    reason: str
    wallet: str = field(default=MAIN, metadata=LATER)


@dataclass(frozen=True, slots=True)
class CapitalWithdrawn:
    key: str
    ts_ns: int
    bucket: str
    lamports: int
    reason: str
    wallet: str = field(default=MAIN, metadata=LATER)


@dataclass(frozen=True, slots=True)
class WalletsNamed:
    """Which wallets the desk has from now on. What it held before it had several lies in ``main``."""

    ts_ns: int
    wallets: tuple[WalletTerms, ...]


@dataclass(frozen=True, slots=True)
class WalletMoved:
    """So many base units of a mint (lamports of ``SOL_MINT``) went from one wallet to another; whose they are did not
    change. ``worth_lamports`` is what they could be sold for."""

    key: str
    ts_ns: int
    from_wallet: str
    to_wallet: str
    mint: str
    units: int
    worth_lamports: int


@dataclass(frozen=True, slots=True)
class CapitalMoved:
    """Cash went from one bucket to another; the wallet did not change."""

    key: str
    ts_ns: int
    from_bucket: str
    to_bucket: str
    lamports: int
    reason: str


@dataclass(frozen=True, slots=True)
class AccountClosed:
    """The token account of a mint was closed without a trade: the deposit that was paid for it came back to whoever
    paid it. ``lamports`` is what the books had of it."""

    key: str
    ts_ns: int
    mint: str
    lamports: int
    reason: str
    wallet: str = field(default=MAIN, metadata=LATER)


@dataclass(frozen=True, slots=True)
class FeePaid:
    """A transaction of ours that was no trade cost this much."""

    key: str
    ts_ns: int
    bucket: str
    lamports: int
    reason: str
    wallet: str = field(default=MAIN, metadata=LATER)


@dataclass(frozen=True, slots=True)
class SignalRaised:
    """``trajectory_id`` names what follows from it, acted on or not."""

    trajectory_id: str
    signal: Signal


@dataclass(frozen=True, slots=True)
class SignalPassed:
    """A signal that was not acted on; ``reason`` is a word to count by, ``limit`` and ``used`` tell the distance."""

    trajectory_id: str
    strategy: str
    mint: str
    ts_ns: int
    denied: Denied


@dataclass(frozen=True, slots=True)
class ForecastMade:
    """Written before anything is ordered because of it."""

    trajectory_id: str
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class ForecastScored:
    trajectory_id: str
    score: ForecastScore


@dataclass(frozen=True, slots=True)
class SituationMet:
    """What the market was like when a strategy spoke of a rise: its outcome is the score of the forecast of that id
    and, where it was traded, the close of its trajectory."""

    situation: Situation


@dataclass(frozen=True, slots=True)
class SituationRecalled:
    """Before an entry was decided the nearest known situations were asked. ``situation_id`` is "" for an opinion that
    was no forecast of its own. ``edge_bps`` is what was stated, ``known`` how many could be asked, ``is_used``: the
    shift was made. ``recollection`` is None where too few are known."""

    trajectory_id: str
    strategy: str
    mint: str
    ts_ns: int
    situation_id: str
    edge_bps: int
    known: int
    is_used: bool
    recollection: Recollection | None


@dataclass(frozen=True, slots=True)
class RecallJudged:
    """Whether recall shifts what a strategy states from now on. Errors are root mean squares in bps over the newest
    ``scored`` answers: of the edges as they were stated, and as they were recalled."""

    ts_ns: int
    strategy: str
    shifts: bool
    scored: int
    stated_error_bps: int
    recalled_error_bps: int
    reason: str


@dataclass(frozen=True, slots=True)
class UniverseRanked:
    """All tokens that can be traded, ranked: at the first cycle of a day, and when one changed places among the
    first. ``occasion`` is ``day`` or ``change``; ``tokens`` counts all of them, ``ranked`` holds the first."""

    ts_ns: int
    occasion: str
    tokens: int
    ranked: tuple[RankedToken, ...]


@dataclass(frozen=True, slots=True)
class OrderApproved:
    """The gate let this order pass; written before it is submitted. ``impact``: what it is expected to bring."""

    order: Order
    measures: tuple[Measure, ...]
    impact: OrderImpact | None = None


@dataclass(frozen=True, slots=True)
class OrderDenied:
    order: Order
    denied: Denied
    impact: OrderImpact | None = None


@dataclass(frozen=True, slots=True)
class OrderFilled:
    """A fill with what the ledger needs to book it."""

    trajectory_id: str
    strategy: str
    bucket: str
    fill: Fill
    wallet: str = field(default=MAIN, metadata=LATER)


@dataclass(frozen=True, slots=True)
class OrderRejected:
    trajectory_id: str
    strategy: str
    bucket: str
    rejected: Rejected
    wallet: str = field(default=MAIN, metadata=LATER)


@dataclass(frozen=True, slots=True)
class PositionWrittenOff:
    """A position in a token that can no longer be sold was given up: all of its cost is a loss."""

    trajectory_id: str
    strategy: str
    bucket: str
    mint: str
    ts_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class PositionClosed:
    """The outcome of a trajectory."""

    trajectory_id: str
    strategy: str
    bucket: str
    mint: str
    ts_ns: int
    realised_lamports: int
    return_bps: int
    holding_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class TradingStateChanged:
    ts_ns: int
    before: TradingState
    after: TradingState
    entries_allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class LevelStateChanged:
    """A wallet, a bucket or a strategy went to another state of its own."""

    ts_ns: int
    level: Level
    name: str
    before: TradingState
    after: TradingState
    reason: str


@dataclass(frozen=True, slots=True)
class GapSeen:
    """Nothing was seen from ``since_ns`` until now. ``steps``: what is done about each position; nothing is entered
    before the cycle after ``entries_from_cycle``."""

    ts_ns: int
    since_ns: int
    entries_from_cycle: int
    steps: tuple[GapStep, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ProfileSwitched:
    """``content`` is the whole new profile (``profile_content``) and ``sha256`` its hash, so that a replay needs no
    file; rows without them name one that ships with the desk."""

    ts_ns: int
    before: str
    after: str
    reason: str
    content: str = field(default="", metadata=LATER)
    sha256: str = field(default="", metadata=LATER)
    changes: tuple[ProfileChange, ...] = ()


@dataclass(frozen=True, slots=True)
class StrategyPromoted:
    """A candidate's parameters are traded in this stage from now on. ``base_lamports``: what its strategy had realised
    and had unrealised then, so that its result can be counted from here, on the bucket's ``capital_lamports``."""

    ts_ns: int
    strategy: str
    candidate: str
    before: Stage
    stage: Stage
    terms: PromotionTerms
    gates: tuple[GateReading, ...]
    capital_lamports: int
    base_lamports: int
    reason: str


@dataclass(frozen=True, slots=True)
class StrategyJudged:
    """What a promoted strategy's gates read at the end of a day; ``result_lamports`` since its promotion."""

    ts_ns: int
    strategy: str
    candidate: str
    stage: Stage
    result_lamports: int
    gates: tuple[GateReading, ...]


@dataclass(frozen=True, slots=True)
class StrategyDemoted:
    """A promoted strategy may enter nothing from now on. ``gates``: what failed, none where somebody demoted it."""

    ts_ns: int
    strategy: str
    candidate: str
    before: Stage
    gates: tuple[GateReading, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class TierChanged:
    ts_ns: int
    before: str
    after: str
    equity_lamports: int


@dataclass(frozen=True, slots=True)
class WindowReported:
    """How a strategy did since ``since_ns``, told when a day is over or the tier changes.

    ``occasion`` is ``day`` or ``tier``. Of the trades closed from ``since_ns`` (included) until ``until_ns``; means are
    None where there is none. ``capital_lamports``: what the bucket has in cash, rent and, at cost, in positions.
    ``evidence``: the trajectories of the newest of those trades. ``cells``: the same for windows of days that end with
    this one, by regime and tier; none where no trade was finished in them. ``calibration``: how the strategy's
    forecasts came out so far.
    """

    ts_ns: int
    occasion: str
    strategy: str
    bucket: str
    since_ns: int
    until_ns: int
    trades: int
    wins: int
    realised_lamports: int
    mean_return_bps: int | None
    mean_slippage_bps: int | None
    mean_holding_s: int | None
    tier: str
    profile: str
    capital_lamports: int
    evidence: tuple[str, ...]
    cells: tuple[WindowCell, ...] = field(default=(), metadata=LATER)
    calibration: tuple[CalibrationBin, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True)
class SharesRotated:
    """What the closed window (a day) made of the shares of the capital, told once a day where a profile lets them
    rotate. ``gain_ppm`` is expected of the move over the profile's horizon, ``cost_ppm`` what it is taken to cost, in
    millionths of the capital of all strategies."""

    ts_ns: int
    rule: str
    verdict: RotationVerdict
    gain_ppm: int
    cost_ppm: int
    shares: tuple[StrategyShare, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CycleMarked:
    """The account at the end of a cycle, marked at liquidation value. ``sol_usd`` is None where SOL has no price."""

    ts_ns: int
    cycle: int
    equity_lamports: int
    cash_lamports: int
    exposure_lamports: int
    drawdown_bps: int
    state: TradingState
    sol_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AdviceWeighed:
    """What the newest advice of the sidecar did to an entry: ``scale_bps`` is the share of the desk's own size that it
    left, ``wait_until_ns`` until when the entry waits (0: it need not). ``reason`` says why it changed nothing."""

    trajectory_id: str
    advice_id: str
    ts_ns: int
    strategy: str
    mint: str
    model: str
    weight_bps: int
    scale_bps: int
    wait_until_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class AdviceScored:
    """How advice came out, written once its horizon is over; the records of the models are a fold of these."""

    score: AdviceScore


LedgerEvent = (
    CapitalDeposited
    | CapitalWithdrawn
    | CapitalMoved
    | AccountClosed
    | FeePaid
    | OrderFilled
    | OrderRejected
    | PositionWrittenOff
)
Event = (
    RunStarted
    | LedgerEvent
    | WalletsNamed
    | WalletMoved
    | SignalRaised
    | SignalPassed
    | ForecastMade
    | ForecastScored
    | SituationMet
    | SituationRecalled
    | RecallJudged
    | UniverseRanked
    | OrderApproved
    | OrderDenied
    | PositionClosed
    | TradingStateChanged
    | LevelStateChanged
    | GapSeen
    | ProfileSwitched
    | StrategyPromoted
    | StrategyJudged
    | StrategyDemoted
    | TierChanged
    | WindowReported
    | AdviceWeighed
    | AdviceScored
    | SharesRotated
    | CycleMarked
)
