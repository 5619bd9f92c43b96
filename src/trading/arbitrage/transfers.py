"""Bringing inventory back to its venues: a transfer step by step, so that it is counted once wherever it is.

What leaves is taken off its venue when it is seen to have left, and put on the other when it is seen, deep enough, to
have come. In between it is *on its way*, which is neither lost nor held. One that is late is asked about and never
sent again; only one that is proven never to have left may be. A block that is taken back (re-orged) puts a transfer
back to where it stood. Each transfer is the fold of its events, written down before they are acted on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trading.model.units import BPS_ONE


class TransferState(StrEnum):
    """PLANNED: written down, nothing of it can have left. SENT: handed in, it may have left or not. ON_ITS_WAY: it was
    seen to leave. LATE: not there by its time; asked about, and may still come. ARRIVED: there, deep enough. RETURNED:
    proven never to have left, or sent back. LOST: a person has said that it will not come; a loss, booked once."""

    PLANNED = "planned"
    SENT = "sent"
    ON_ITS_WAY = "on_its_way"
    LATE = "late"
    ARRIVED = "arrived"
    RETURNED = "returned"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        return self in (TransferState.ARRIVED, TransferState.RETURNED, TransferState.LOST)


class Happening(StrEnum):
    """HANDED_IN: about to be sent. LEFT, CAME: seen in a block. REORGED_LEFT, REORGED_CAME: that block is gone.
    NEVER_LEFT: proven. TIME_OVER: nothing was heard by its time. GIVEN_UP: a person says so."""

    HANDED_IN = "handed_in"
    LEFT = "left"
    REORGED_LEFT = "reorged_left"
    CAME = "came"
    REORGED_CAME = "reorged_came"
    NEVER_LEFT = "never_left"
    TIME_OVER = "time_over"
    GIVEN_UP = "given_up"


_S, _H = TransferState, Happening
STEPS: Final[Mapping[tuple[TransferState, Happening], TransferState]] = {
    (_S.PLANNED, _H.HANDED_IN): _S.SENT,
    (_S.PLANNED, _H.NEVER_LEFT): _S.RETURNED,
    (_S.SENT, _H.LEFT): _S.ON_ITS_WAY,
    (_S.SENT, _H.NEVER_LEFT): _S.RETURNED,
    (_S.SENT, _H.TIME_OVER): _S.LATE,
    (_S.SENT, _H.CAME): _S.ARRIVED,
    (_S.ON_ITS_WAY, _H.CAME): _S.ARRIVED,
    (_S.ON_ITS_WAY, _H.REORGED_LEFT): _S.SENT,
    (_S.ON_ITS_WAY, _H.TIME_OVER): _S.LATE,
    (_S.LATE, _H.LEFT): _S.LATE,
    (_S.LATE, _H.CAME): _S.ARRIVED,
    (_S.LATE, _H.REORGED_LEFT): _S.LATE,
    (_S.LATE, _H.NEVER_LEFT): _S.RETURNED,
    (_S.LATE, _H.GIVEN_UP): _S.LOST,
    (_S.ARRIVED, _H.REORGED_CAME): _S.LATE,
    (_S.LOST, _H.CAME): _S.ARRIVED,  # it came after all
}
"""Every step that a transfer may take; anything else changes nothing, as it was heard before or out of order."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """``amount`` leaves ``source``; ``received`` came to ``target``, the bridge's fee less. ``has_left``: it is off its
    source."""

    id: str
    source: str
    target: str
    amount: int
    state: TransferState = TransferState.PLANNED
    received: int = 0
    has_left: bool = False

    def __post_init__(self) -> None:
        if self.amount < 1 or self.source == self.target:
            msg = f"a transfer of {self.amount} from {self.source} to {self.target}"
            raise ValueError(msg)

    @property
    def on_its_way(self) -> int:
        """What is neither at the source nor at the target nor lost."""
        return self.amount if self.has_left and not self.state.is_over else 0

    @property
    def reserved(self) -> int:
        """What is still at the source, as far as is known, and may not be used by anything else."""
        return self.amount if not self.has_left and not self.state.is_over else 0


def moved(transfer: Transfer, happening: Happening, received: int = 0) -> Transfer:
    """Return the transfer after what happened. Raises: ValueError for an arrival of nothing, or of more than left."""
    after = STEPS.get((transfer.state, happening))
    if after is None:
        return transfer
    if happening is Happening.CAME and not 0 < received <= transfer.amount:
        msg = f"transfer {transfer.id}: {received} came of {transfer.amount}"
        raise ValueError(msg)
    has_left = transfer.has_left
    if happening in (Happening.LEFT, Happening.CAME):
        has_left = True
    elif happening in (Happening.REORGED_LEFT, Happening.NEVER_LEFT):
        has_left = False
    elif happening is Happening.GIVEN_UP:
        has_left = True  # whatever it was, it is not at its source for us any more
    came = received if after is TransferState.ARRIVED else 0
    return replace(transfer, state=after, has_left=has_left, received=came)


def folded(transfer: Transfer, events: Iterable[tuple[Happening, int]]) -> Transfer:
    for happening, received in events:
        transfer = moved(transfer, happening, received)
    return transfer


def holdings(start: Mapping[str, int], transfers: Iterable[Transfer]) -> dict[str, int]:
    """Return what each venue holds after the transfers, as far as is known."""
    held = dict(start)
    for each in transfers:
        if each.has_left:
            held[each.source] = held.get(each.source, 0) - each.amount
        if each.received:
            held[each.target] = held.get(each.target, 0) + each.received
    return held


def wanted(
    held: Mapping[str, int], target_bps: Mapping[str, int], under_way: Iterable[Transfer], *, least: int
) -> tuple[str, str, int] | None:
    """Return (source, target, amount) of the one transfer that brings the split nearest to its targets, None where
    none of ``least`` or more is needed. What is under way counts as already there.

    Raises: ValueError where the targets do not add up to all.
    """
    if sum(target_bps.values()) != BPS_ONE or any(each < 0 for each in target_bps.values()):
        msg = f"target_bps adds up to {sum(target_bps.values())}; it has to be {BPS_ONE}"
        raise ValueError(msg)
    there = {name: held.get(name, 0) for name in target_bps}
    for each in under_way:
        if each.state.is_over:
            continue
        there[each.target] = there.get(each.target, 0) + each.amount
        if not each.has_left:
            there[each.source] = there.get(each.source, 0) - each.amount
    total = sum(there.values())
    over = {name: there[name] - total * bps // BPS_ONE for name, bps in target_bps.items()}
    source, target = max(over, key=lambda name: over[name]), min(over, key=lambda name: over[name])
    amount = min(over[source], -over[target])
    return (source, target, amount) if source != target and amount >= max(1, least) else None
