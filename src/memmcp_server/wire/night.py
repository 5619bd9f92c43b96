"""What happened since a person looked last, and what waits for an answer."""

from datetime import datetime

from pydantic import Field

from .base import Request, Wire
from .money import Amount, TradingContext
from .trading import TradeView


class Happening(Wire):
    """Something that changed the desk; ``kind`` is the journal's word for it."""

    ts: datetime
    kind: str
    text: str


class WaitingItem(Wire):
    """What waits for a person: its evidence, and the answers that are allowed (none: it ends by itself)."""

    id: str
    what: str
    evidence: list[str]
    answers: list[str]


class NightReport(TradingContext):
    """From ``since`` until ``until``, the desk's own time. ``closed`` counts finished trades, ``wins`` those that
    brought something; ``trades`` are the newest fills; newest first, as ``happenings``. ``is_cut``: there is more."""

    since: datetime
    until: datetime
    equity_before: Amount | None
    equity: Amount | None
    closed: int
    wins: int
    realised: Amount
    trades: list[TradeView]
    denials: dict[str, int]
    happenings: list[Happening]
    is_cut: bool
    waiting: list[WaitingItem]


class ReviewRequest(Request):
    """An answer to an item that waits: one of those that it allows."""

    item: str = Field(min_length=1, max_length=200)
    answer: str = Field(min_length=1, max_length=40)
    reason: str = Field(min_length=3, max_length=1_000, description="What was looked at; kept in the record.")


class ReviewAnswer(TradingContext):
    """What waits still."""

    waiting: list[WaitingItem]
