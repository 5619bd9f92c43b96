"""The same trade on two sides, the run and its replay: what differs, and how many lamports are due to it.

The kinds, and which of them a difference is when several could be meant (the first one):

- ``signal``: another opinion, another reason to sell, or one that only one side had;
- ``missed``, ``extra``: the opinion was the same and only the replay, or only the run, traded on it;
- ``timing``: the same decision at another time, or its fill a bar or more later;
- ``size``: another amount;
- ``price``: another price, the pool's fee and the impact in it;
- ``fee``: other network and priority fees, and charges of transactions that failed.

The lamports of all differences add up to what the run's cash and rent have more than the replay's, deposits apart.

Units that one side bought more of cost nothing by themselves: they are carried to the sale, at the price of which they
are worth something, under the name of what brought them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, Literal

from trading.model.order import Side, Signal
from trading.model.units import sol_text

from .documents import iso

Kind = Literal["signal", "missed", "extra", "timing", "size", "price", "fee"]
KINDS: Final[tuple[Kind, ...]] = ("signal", "missed", "extra", "timing", "size", "price", "fee")
Key = tuple[str, str, str]
Found = dict[Kind, tuple[int, str, str]]
"""Of each kind that was found: the lamports, and what either side did."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One fill with what was decided about it. ``rule`` is why a sale was made, without its figures."""

    order_id: str
    side: Side
    decided_ns: int
    ts_ns: int
    rule: str
    amount_in: int
    lamports: int
    base_units: int
    paid_lamports: int

    @property
    def cash_lamports(self) -> int:
        """What it did to cash, rent apart."""
        moved = -self.lamports if self.side is Side.BUY else self.lamports
        return moved - self.paid_lamports


@dataclass(slots=True)
class Trade:
    """What one side knows of a trajectory. ``why_not``: why the other side has no such trade, where it has a word."""

    id: str
    bucket: str
    strategy: str
    mint: str
    began_ns: int
    opinion: Signal | None
    legs: list[Leg] = field(default_factory=list)
    charged_lamports: int = 0
    ended: str | None = None
    why_not: str | None = None
    is_looked_up: bool = False

    @property
    def key(self) -> Key:
        return (self.bucket, self.strategy, self.mint)

    @property
    def is_idle(self) -> bool:
        """Whether it came to its end without a fill."""
        return self.ended is not None and not self.legs


def legs_lamports(legs: Sequence[Leg]) -> int:
    """Return what these fills did to cash."""
    return sum(leg.cash_lamports for leg in legs)


def compared(run: Trade, replay: Trade, latency_ns: int) -> Found:
    """Return what differs; the lamports of all kinds add up to the difference in cash, exactly.

    ``latency_ns``: two fills of one decision that are nearer in time than this differ in price only.
    """
    return _Comparison(run, replay, latency_ns).found


class _Comparison:
    """Walks through the legs of both sides, buys with buys and sales with sales, each in their order."""

    def __init__(self, run: Trade, replay: Trade, latency_ns: int) -> None:
        self.found: Found = {}
        self._latency_ns = latency_ns
        self._carried: dict[Kind, int] = {}
        self._held = 0
        self._entry_kind: Kind | None = None
        self._opinions(run, replay)
        for ours, theirs in _paired_legs(run.legs, replay.legs):
            if ours is not None and theirs is not None:
                self._leg(ours, theirs)
            elif ours is not None:
                self._alone("extra", ours, _text(ours), "still held" if replay.ended is None else "no such fill")
            elif theirs is not None:
                self._alone("missed", theirs, "still held" if run.ended is None else "no such fill", _text(theirs))
        charged = replay.charged_lamports - run.charged_lamports
        if charged:
            said = (f"{each.charged_lamports} lamports for failed transactions" for each in (run, replay))
            self._add("fee", charged, *said)

    def _add(self, kind: Kind, lamports: int, run: str, replay: str) -> None:
        """Take lamports down; the words of the first difference of a kind stand."""
        before = self.found.get(kind)
        self.found[kind] = (lamports, run, replay) if before is None else (before[0] + lamports, *before[1:])

    def _alone(self, kind: Kind, leg: Leg, run: str, replay: str) -> None:
        sign = 1 if kind == "extra" else -1
        self._add(kind, sign * leg.cash_lamports, run, replay)
        if leg.side is Side.BUY:
            self._carry(kind, sign * leg.base_units)
            self._held += leg.base_units if kind == "extra" else 0

    def _opinions(self, run: Trade, replay: Trade) -> None:
        if run.began_ns != replay.began_ns:
            self._entry_kind = "timing"
            self._add("timing", 0, f"decided at {iso(run.began_ns)}", f"decided at {iso(replay.began_ns)}")
        elif run.opinion is not None and replay.opinion is not None and _said(run.opinion) != _said(replay.opinion):
            self._entry_kind = "signal"
            self._add("signal", 0, _said(run.opinion), _said(replay.opinion))

    def _leg(self, run: Leg, replay: Leg) -> None:
        kind = self._kind_of(run, replay)
        if kind != "price":
            self._add(kind, 0, _text(run), _text(replay))
        paid = replay.paid_lamports - run.paid_lamports
        if paid:
            self._add("fee", paid, f"{run.paid_lamports} lamports of fees", f"{replay.paid_lamports} lamports of fees")
        if run.side is Side.BUY:
            self._bought(run, replay, kind)
        else:
            self._sold(run, replay, kind)

    def _kind_of(self, run: Leg, replay: Leg) -> Kind:
        if run.rule != replay.rule:
            return "signal"
        if run.side is Side.BUY and self._entry_kind is not None:
            return self._entry_kind
        is_late = abs(run.ts_ns - replay.ts_ns) >= self._latency_ns
        return "timing" if is_late or run.decided_ns != replay.decided_ns else "price"

    def _bought(self, run: Leg, replay: Leg, kind: Kind) -> None:
        """Lamports spent count at once, units that came of it are carried to the sale."""
        size: Kind = "size" if run.amount_in != replay.amount_in and kind != "signal" else kind
        # What the run's lamports would have bought at the replay's price: beyond it the price is another one.
        expected = replay.base_units * run.lamports // replay.lamports if size != kind else replay.base_units
        spent = replay.lamports - run.lamports
        if spent or expected != replay.base_units:
            self._add(size, spent, _text(run), _text(replay))
            self._carry(size, expected - replay.base_units)
        if run.base_units != expected:
            self._add(kind, 0, _text(run), _text(replay))
            self._carry(kind, run.base_units - expected)
        self._held += run.base_units

    def _carry(self, kind: Kind, units: int) -> None:
        self._carried[kind] = self._carried.get(kind, 0) + units

    def _sold(self, run: Leg, replay: Leg, kind: Kind) -> None:
        """The units that one side had more of are worth the replay's price; the rest is this sale's own."""
        worth = (run.base_units - replay.base_units) * replay.lamports // replay.base_units
        left = worth
        sold, held = min(run.base_units, self._held), max(1, self._held)
        for carried, amount in self._carried.items():
            moved = amount * sold // held
            part = moved * replay.lamports // replay.base_units
            self._carried[carried] = amount - moved
            left -= part
            if part:
                self._add(carried, part, _text(run), _text(replay))
        self._held -= sold
        if left:
            self._add(self._rest_kind(left, kind), left, _text(run), _text(replay))
        own = run.lamports - replay.lamports - worth
        if own:
            self._add(kind, own, _text(run), _text(replay))

    def _rest_kind(self, left: int, kind: Kind) -> Kind:
        """Name what no carried units explain: a lamport of rounding goes with them, more is another share sold."""
        if self._carried and abs(left) <= len(self._carried):
            return next(iter(self._carried))
        return kind if kind == "signal" else "size"


def _paired_legs(run: Sequence[Leg], replay: Sequence[Leg]) -> Iterator[tuple[Leg | None, Leg | None]]:
    """Yield the buys of both sides, then the sales: what is carried from buys is known before the first sale."""
    for side in (Side.BUY, Side.SELL):
        yield from zip_longest((leg for leg in run if leg.side is side), (leg for leg in replay if leg.side is side))


def _said(opinion: Signal) -> str:
    return f"strength {opinion.strength}, {opinion.edge_bps} bps in {opinion.horizon_s} s: {opinion.reason}"


def _text(leg: Leg) -> str:
    why = f" ({leg.rule})" if leg.rule else ""
    return f"{leg.side.value} {leg.base_units} base units for {sol_text(leg.lamports)} SOL at {iso(leg.ts_ns)}{why}"
