"""The seams of the trading runtime. Every Protocol has a real body and a test body and one contract suite.

The kernel is synchronous and awaits nothing while it decides; what waits (feeds over the network, memory) lives in
tasks that hand in through bounded channels.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from .model.bar_market import BarMarket
from .model.chain import (
    AbsenceProof,
    AccountSeen,
    BlockhashSeen,
    Commitment,
    HeightSeen,
    OrderOffer,
    PricePoint,
    SignatureSeen,
    SignWanted,
    Simulated,
    StatusSeen,
    SwapOffer,
    SwapWanted,
    TransactionSeen,
    Witnessed,
)
from .model.intent import ApprovalAsked, Attempt, Intent, IntentEvent, IntentRecord, IntentState, Settlement
from .model.market_data import Bar, FactsKnown, FeedDescription, MarketEvent, Swap, TokenListed
from .model.meters import CallFigures
from .model.order import Order, Side, Signal, SwapQuote, VenueReport
from .model.token_facts import Facts


class Clock(Protocol):
    """Simulated time moves with the events; wall time is used by paper and live for pacing and ages."""

    def now_ns(self) -> int: ...


class Random(Protocol):
    """The only source of chance. The same seed and the same calls give the same numbers on every machine."""

    def uniform(self) -> float:
        """A float in [0, 1)."""

    def below(self, n: int) -> int:
        """An int in [0, n)."""


@runtime_checkable
class Feed(Protocol):
    """Market events in time order, each timestamp group closed by a CycleEnd. Recorded or generated.

    ``events(skip_cycles)`` starts after that many CycleEnds, so that a run can go on where it stopped.
    Raises: DataError naming file and row.
    """

    @property
    def description(self) -> FeedDescription: ...

    def events(self, skip_cycles: int = 0) -> Iterator[MarketEvent]: ...


@runtime_checkable
class Bookmarked(Protocol):
    """A feed that has to make its past anew to go on in the middle, and can write down where it was instead."""

    def bookmark(self, cycles: int) -> str | None:
        """Return the newest place at or before that many CycleEnds that this feed has passed, as text."""

    def recall(self, bookmark: str) -> None:
        """Take a place that was written down earlier, if it is one of this very feed; anything else is left aside."""


class LiveFeed(Protocol):
    """Market events as they come in, through a bounded channel. Raises FeedUnavailable from ``receive`` never:
    trouble shows as age and as FeedGap events; an endpoint that fails is retried with back-off."""

    @property
    def description(self) -> FeedDescription: ...

    def running(self) -> AbstractAsyncContextManager[None]: ...

    async def receive(self) -> MarketEvent: ...

    def hold(self, mints: Collection[str]) -> None:
        """Say which tokens are held: they are followed whatever their rank."""

    def health(self) -> Mapping[str, Any]:
        """Endpoints, ages in seconds, error counts: for people and telemetry."""


@runtime_checkable
class Counted(Protocol):
    """Whoever counts its calls to outside endpoints."""

    def calls(self) -> Mapping[str, CallFigures]: ...


class BarSource(Protocol):
    """Past bars of one market at a public source, asked for page by page."""

    @property
    def market(self) -> BarMarket: ...

    @property
    def page_bars(self) -> int:
        """How many bars a page holds at most."""

    @property
    def away_s(self) -> float:
        """How many seconds the source asks to be left alone, 0 when it may be asked."""

    def now_s(self) -> float:
        """Return the time by the source's clock, as its answers showed it; ours until it has answered."""

    async def page(self, from_s: int) -> Sequence[Sequence[str | int]]:
        """Return rows of (open in Unix seconds, open, high, low, close, volume as text) as the source sent them: the
        page that begins at ``from_s``, and possibly bars around it, in any order.

        Raises: FeedUnavailable, when the same question may be asked again; InvalidInput for a market it has not.
        """


class Venue(Protocol):
    """Where orders are executed. ``submit`` only hands in; the outcome comes as a report from ``on_market``."""

    def submit(self, order: Order) -> None: ...

    def on_market(self, event: MarketEvent) -> Sequence[VenueReport]:
        """Move the market and return what became of open orders because of it, in submission order."""

    def quote(self, mint: str, side: Side, amount_in: int) -> SwapQuote | None:
        """Return what a swap would give now, None when the token cannot be traded."""

    def quote_exact(self, mint: str, base_units: int) -> SwapQuote | None:
        """Return what buying exactly so many base units would cost now, None when they cannot be bought."""

    def liquidation_lamports(self, mint: str, base_units: int) -> int:
        """Return what selling everything now would bring, after pool fee and impact; 0 when it cannot be sold."""

    def mark(self, mint: str) -> Bar | None:
        """Return the newest bar."""

    def is_tradable(self, mint: str) -> bool: ...

    def pool_lamports(self, mint: str) -> int:
        """Return the newest known SOL-side depth of the token's pool, 0 when it cannot be traded."""

    def open_orders(self) -> Sequence[Order]: ...


@runtime_checkable
class RecordedVenue(Venue, Protocol):
    """A venue that moves by recorded bars alone, so that many of them can be taken at once."""

    def on_bars(self, bars: Sequence[Bar]) -> None:
        """Take bars of one listed token while no order is open: as ``on_market`` with each. Raises: InvalidInput."""

    def liquidations(self, mint: str, base_units: int, bars: Sequence[Bar]) -> Iterator[int] | None:
        """Return what ``liquidation_lamports`` would say after each of these bars of the token, without taking them;
        None where that takes more than the bar."""


class Strategy(Protocol):
    """Turns bars into opinions; owns its indicators and nothing else. One file each, parameters declared."""

    @property
    def name(self) -> str: ...

    @property
    def warmup_bars(self) -> int: ...

    def parameters(self) -> Mapping[str, int | float | str]: ...

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion or None. Sees nothing later than the bar's close."""


@runtime_checkable
class ManyBars(Protocol):
    """A strategy that is faster with many bars at once, and looks at each token by itself."""

    def on_bars(self, bars: Sequence[Bar]) -> Sequence[tuple[int, Signal]]:
        """Take closed bars of one token, as ``on_bar`` with each: the same opinions, each after the place of its bar in
        ``bars``, and the same strategy afterwards."""


@runtime_checkable
class SwapListener(Protocol):
    """A strategy that listens to other people's swaps too; one that does not costs nothing."""

    def on_swap(self, swap: Swap) -> None:
        """Take a swap. It comes before the bar that it lies in, and what it means is said on that bar."""


@runtime_checkable
class LaunchListener(Protocol):
    """A strategy that trades new tokens: it hears of each that is listed, and what becomes known about it."""

    @property
    def needs_facts(self) -> bool:
        """Whether it buys only what passes every rug check; what is not known does not pass."""

    def on_listed(self, listed: TokenListed) -> None: ...

    def on_facts(self, known: FactsKnown) -> None: ...


class TokenFacts(Protocol):
    """Where facts about tokens come from. A feed asks and hands the answers in as ``FactsKnown``; nobody asks while
    deciding, so a replay needs nobody to ask."""

    def facts(self, mint: str, now_ns: int) -> Facts | None:
        """Return what can be known about a token at that time, None for one that is not known at all."""


class FactsSource(Protocol):
    """Where a live feed asks about a token, which takes a while and may fail."""

    async def facts(self, mint: str, pool: str, *, needs_age: bool) -> Facts | None:
        """Return what can be known about a token, None for one that does not exist.

        ``pool``: the address of its pool, which is no holder. ``needs_age``: the caller does not know the pool's age.
        Raises: Unavailable.
        """


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One event of a run. ``body`` is canonical JSON (sorted keys, no spaces, ints and strings only, no floats)."""

    seq: int
    ts_ns: int
    kind: str
    body: bytes


class Journal(Protocol):
    """The desk's own truth: append-only rows of one run, durable after ``commit``.

    ``append`` buffers and returns the row's seq; nothing outside the process may rest on a row before ``commit``.
    Raises: JournalUnavailable.
    """

    def append(self, ts_ns: int, kind: str, body: Mapping[str, Any], *, is_plain: bool = False) -> int:
        """``is_plain``: the body was encoded (``event_codec``), so that nothing but ints and strings is in it and all
        keys are in order."""

    def append_canonical(self, ts_ns: int, kind: str, body: bytes) -> int:
        """As ``append``, for a body that is canonical already and names no order and no trajectory."""

    def commit(self) -> None: ...

    def rows(
        self,
        *,
        after: int = 0,
        kinds: Sequence[str] = (),
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Iterator[JournalRow]:
        """Yield committed rows with seq > ``after`` in order; the times bound ``ts_ns``, both ends included."""

    def newest(self, kinds: Sequence[str] = (), *, before: int | None = None, limit: int = 1) -> list[JournalRow]:
        """Return committed rows with seq < ``before``, newest first, at most ``limit``."""

    def horizon(self) -> int:
        """Return the seq of the newest committed row, 0 when there is none."""

    def sha256(self) -> str:
        """SHA-256 over (seq, ts_ns, kind, body) of every committed row in order, without host or wall-clock columns."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """One thing to remember. ``key`` makes a repeat harmless.

    ``open`` and ``close`` frame a trajectory, ``step`` is one of its steps, ``note`` stands alone, ``snapshot`` is a
    telemetry row (``metadata`` is the snapshot document). ``cites`` are memories that a step rests on, as an agent
    named them.
    """

    action: Literal["open", "step", "close", "note", "snapshot"]
    key: str
    ts_event_ns: int
    namespace: str
    kind: str
    text: str
    title: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trajectory_id: str | None = None
    outcome: str | None = None
    reward_lamports: int | None = None
    embed: bool = False
    cites: tuple[str, ...] = ()


class Memory(Protocol):
    """The shared memory as the desk sees it: a place for copies. Slow or gone, it never delays the loop."""

    async def write(self, records: Sequence[MemoryRecord]) -> None:
        """Store all records durably, in order. Raises MemoryUnavailable: the relay repeats the same batch later."""


class Chain(Protocol):
    """A Solana cluster through however many endpoints. Nothing is ever concluded from an error.

    Every method raises ChainUnavailable where no endpoint gave a usable answer; that says nothing about the chain.
    """

    async def genesis_hash(self) -> str:
        """Return what all endpoints agree on. Raises: WrongChain where they do not."""

    async def height(self, commitment: Commitment) -> HeightSeen:
        """Return the newest height that an endpoint tells."""

    async def latest_blockhash(self) -> BlockhashSeen:
        """Return a confirmed blockhash, never one of an endpoint that lags or stands on another fork."""

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        """Return confirmed accounts, all of one slot for up to 100; None for one that does not exist."""

    async def simulate(self, raw: bytes, watch: Sequence[str], *, verifies: bool = True) -> Simulated:
        """Run a transaction and do not keep it. ``verifies`` False: signatures are not checked."""

    async def send(self, raw: bytes, *, is_first: bool) -> str:
        """Hand the bytes to every healthy endpoint; return the answer of the first that took them, as text.

        Taken is not landed. Sending the same bytes again is harmless. The first sending is checked by the endpoint
        (preflight at ``confirmed``), later ones are not. Raises: SendRefused with the chain's error where the
        preflight failed: the transaction was not sent on by that endpoint, which proves nothing about the others.
        """

    async def status(self, signature: str) -> StatusSeen | None:
        """Return the furthest status that an endpoint knows, its history searched; None: nobody knows it now."""

    async def proof_of_absence(self, signature: str, last_valid_block_height: int) -> AbsenceProof | None:
        """Return the proof that a transaction can never land any more, None while there is none.

        Two different endpoints where more than one is configured (one alone, twice, where it is the only one).
        """

    async def transaction(self, signature: str) -> TransactionSeen | None:
        """Return a finalized transaction, None while no endpoint has it."""

    async def testimonies(self, signature: str) -> Sequence[Witnessed]:
        """Ask every configured endpoint for a finalized transaction, its whole history searched, and return what each
        says: for a person's answer, not for the ordinary course of things."""

    async def signatures(self, address: str, *, until: str | None, limit: int) -> Sequence[SignatureSeen]:
        """Return the address's finalized history down to ``until`` (left out), newest first, at most ``limit``."""

    async def priority_fee(self, writable: Sequence[str]) -> int:
        """Return micro-lamports a compute unit that lately got a transaction with these accounts into a block."""

    async def wait(self, signature: str, timeout_s: float) -> None:
        """Return when something may have happened to the transaction, at the latest after ``timeout_s``."""


class SwapRouter(Protocol):
    """Finds a route and gives the instructions for it. Raises: RouteRefused (typed, say why), RouterUnavailable."""

    @property
    def name(self) -> str: ...

    async def offer(self, wanted: SwapWanted) -> SwapOffer: ...


class OrderRouter(Protocol):
    """Builds the whole transaction itself, and sends what was signed. Raises: RouteRefused, RouterUnavailable."""

    @property
    def name(self) -> str: ...

    async def order(self, wanted: SwapWanted) -> OrderOffer:
        """Return a transaction that nobody but the wallet signs or pays for; RouteRefused for any other."""

    async def execute(self, raw: bytes, request_id: str) -> str:
        """Hand in the signed bytes; return their signature, as text. Taken is not landed, and an answer that it failed
        to land proves nothing. Sending the same bytes again is harmless.

        Raises: SendRefused where the router did not send them; RouterUnavailable where nobody knows.
        """


class ReferencePrice(Protocol):
    """A price that does not come from the router: what an offer is held against. Raises: FeedUnavailable."""

    @property
    def name(self) -> str: ...

    async def price(self, mint: str) -> PricePoint | None:
        """Return the newest price of one base unit in lamports, None for a token that it does not know."""


class Signer(Protocol):
    """Holds keys and never gives them out. Raises: SigningRefused (says why), SignerUnavailable."""

    async def wallets(self) -> Sequence[str]:
        """Return the public keys that it can sign for."""

    async def sign(self, wanted: SignWanted) -> bytes:
        """Return the 64 bytes of the wallet's signature over the message."""


class ExecutionJournal(Protocol):
    """What is owed to the chain. Each method is one transaction, durable when it returns, with its line in the record.

    Raises everywhere: JournalUnavailable, also where another process has opened the same journal since;
    IllegalTransition for a step that ``INTENT_STEPS`` does not know, and nothing has changed then.
    """

    def open(self, intent: Intent) -> IntentRecord:
        """Take an intent in, or return what is known under its key. Raises: InvalidInput for a key that stands for
        another wish, an amount that is none, or a wallet that is halted.

        It outlives the process at once, the machine from the next method that writes on: whoever hands an intent in
        has it written down elsewhere, and hands it in again under the same key.
        """

    def record(self, intent_id: str) -> IntentRecord:
        """Raises: InvalidInput for an id that is not known."""

    def by_key(self, key: str) -> IntentRecord | None: ...

    def of_keys(self, prefix: str, limit: int) -> Sequence[IntentRecord]:
        """Return the intents whose key begins so, newest first, at most ``limit``."""

    def unfinished(self) -> Sequence[IntentRecord]:
        """Return the intents that are not final, oldest first."""

    def approval_asked(self, intent_id: str, asked: ApprovalAsked) -> None:
        """The intent waits for the operator; what it may take stays reserved."""

    def approval_given(self, intent_id: str) -> None:
        """The operator said yes: it is open again, and everything about it is found out anew."""

    def signed(self, attempt: Attempt) -> None:
        """Write the bytes down, before they are sent."""

    def landed(self, intent_id: str, status: StatusSeen) -> None: ...

    def vanished(self, intent_id: str, why: str) -> None:
        """A confirmed transaction is known no more: its attempt is alive as before."""

    def expired(self, intent_id: str, proof: AbsenceProof) -> None: ...

    def settled(self, settlement: Settlement) -> None:
        """Book a finalized transaction: SETTLED, or REVERTED where it has an error."""

    def ended(self, intent_id: str, state: IntentState, problem: str) -> None:
        """FAILED or CANCELLED: nothing of it is, or can come, on chain."""

    def ask_to_cancel(self, intent_id: str) -> None:
        """Ask that nothing more is signed for it; what is signed lives until it landed or is proven dead."""

    def needs_review(self, intent_id: str, problem: str, evidence: Mapping[str, Any]) -> None:
        """Stop an intent until a person answers, and halt its wallet."""

    def halt(self, wallet: str, problem: str, evidence: Mapping[str, Any]) -> None: ...

    def release(self, wallet: str, actor: str, reason: str) -> None:
        """Let a wallet trade again. Raises: InvalidInput while an intent of it needs review."""

    def halted(self) -> Mapping[str, str]:
        """Return the wallets that are halted, and why."""

    def reserved(self, wallet: str) -> Mapping[str, int]:
        """Return what unfinished intents may take from the wallet at most, in base units by mint."""

    def knows(self, signature: str) -> bool:
        """Tell whether a transaction is one of our attempts."""

    def cursor(self, wallet: str) -> str | None:
        """Return the newest signature of the wallet's history that was looked at."""

    def swept(self, wallet: str, newest: str) -> None: ...

    def events(self, after: int = 0, limit: int = 1_000) -> Sequence[IntentEvent]: ...
