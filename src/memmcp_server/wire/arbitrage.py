"""Arbitrage on the wire: how it stands, trips, what was seen and why it was not taken, transfers."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import MoneyKind, Request, Wire
from .money import Amount, TradingContext


class ArbitrageVenue(Wire):
    """What lies at a venue for trips: SOL, and the pair's token in whole tokens. ``problem``: why it could not be
    looked at last. ``going``: transfers on their way to it."""

    name: str
    problem: str
    money: Amount
    middle: str
    going: int


class SeenCount(Wire):
    """How often a direction was looked at in the last 24 hours, by why no trip was taken (empty: one was), and the most
    that any of these would have left."""

    first: str
    second: str
    why_not: str
    count: int
    net_best: Amount


class ArbitrageStatus(TradingContext):
    """``arbitrage_money`` is what trips are made with; the desk's own may be another. ``halted``: why no trip is opened
    until a person has looked; ``problem``: why nothing works now. ``by_hand``: transfers that the split asks for and
    nothing here can make."""

    arbitrage_money: MoneyKind
    state: Literal["off", "starting", "working", "resting", "halted"]
    problem: str
    halted: str
    trips_open: int
    open_max: int
    size_max: Amount
    day_loss_max: Amount
    day_result: Amount
    venues: list[ArbitrageVenue]
    by_hand: list[str]
    day: list[SeenCount]


class TripStep(Wire):
    ts: datetime
    text: str


class TripView(Wire):
    """One trip. ``phase``: first, second (hedge-pending), unwinding, done, flat, stuck. ``held``: what is held of the
    pair's token, in whole tokens. ``result`` and ``cost`` so far, or in the end."""

    id: str
    pair: str
    first: str
    second: str
    phase: Literal["first", "second", "unwinding", "done", "flat", "stuck"]
    is_over: bool
    is_hedge_pending: bool
    began: datetime
    hedge_by: datetime
    flat_by: datetime
    ended: datetime | None
    size: Amount
    result: Amount
    cost: Amount
    held: str
    attempts: int
    steps: list[TripStep]


class TripPage(TradingContext):
    trips: list[TripView]
    next_cursor: str | None


class OpportunityView(Wire):
    """The best trip of one direction at a look, and why it was not taken, empty where it was."""

    ts: datetime
    pair: str
    first: str
    second: str
    size: Amount
    gross: Amount
    net: Amount
    why_not: str


class OpportunityList(TradingContext):
    opportunities: list[OpportunityView]
    day: list[SeenCount]


class TransferView(Wire):
    """``asset`` is SOL or the pair whose token it is; amounts in whole tokens."""

    id: str
    pair: str
    asset: str
    source: str
    target: str
    state: Literal["planned", "sent", "on_its_way", "late", "arrived", "returned", "lost"]
    amount: str
    received: str
    planned: datetime
    late_after: datetime
    changed: datetime


class TransferPage(TradingContext):
    transfers: list[TransferView]
    next_cursor: str | None


class ArbitrageRequest(Request):
    """What a person says: resume (trips may be opened again), settle (a stuck trip came to ``result_sol``), give_up (a
    late transfer is lost)."""

    act: Literal["resume", "settle", "give_up"]
    id: str | None = Field(default=None, max_length=64, description="The trip or transfer; not for resume.")
    result_sol: str | None = Field(default=None, pattern=r"^-?\d{1,12}(\.\d{1,9})?$", description="For settle.")
    reason: str = Field(min_length=3, max_length=500, description="What was looked at; kept in the record.")
