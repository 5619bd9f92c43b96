"""Trips, transfers and what was seen, as documents of the wire and as memories."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from trading.arbitrage.transfer_ports import TransferKept
from trading.arbitrage.transfers import TransferState
from trading.arbitrage.trip_ports import Sighting, Tally, TripRow
from trading.arbitrage.trip_story import Scene, story
from trading.arbitrage.trips import Dead, Looked, Phase, Settled, Trip
from trading.model.units import NS_PER_S, sol_text
from trading.ports import MemoryRecord

from .documents import Document, amount, iso, tokens
from .remember import ALERT, NAMESPACE

KIND: Final = "arbitrage"
SEEN: Final = "arbitrage_seen"
TRANSFER: Final = "arbitrage_transfer"
_LINES_MAX: Final = 12
_PHASES: Final = {
    Phase.FIRST: "the first leg",
    Phase.SECOND: "the second leg",
    Phase.UNWINDING: "unwinding",
}
_ENDS: Final = {
    Phase.DONE: "both legs were made",
    Phase.FLAT: "it was given up and ended flat",
    Phase.STUCK: "it did not end flat by its deadline and waits for a person",
}


@dataclass(frozen=True, slots=True)
class Units:
    """How amounts of each pair's token are written, and what a SOL costs, if that is known."""

    decimals: dict[str, int]
    sol_usd: Decimal | None = None

    def middle(self, venue: str, units: int) -> str:
        return tokens(units, self.decimals.get(pair_of(venue), 0))

    def of(self, transfer: TransferKept, units: int) -> str:
        money = transfer.asset == "money"
        return sol_text(units) if money else tokens(units, self.decimals.get(transfer.pair, 0))


def pair_of(venue: str) -> str:
    return venue.partition("/")[0]


def trip_document(row: TripRow, units: Units) -> Document:
    """Return a trip as the wire has it, with each of its events."""
    trip, scenes = story(row.kept.plan, row.kept.events)
    plan, phase = row.kept.plan, row.kept.phase
    held = trip.middle if not phase.is_over or phase is Phase.STUCK else 0
    return {
        "id": plan.id,
        "pair": pair_of(plan.first.venue),
        "first": plan.first.venue,
        "second": plan.second.venue,
        "phase": phase.value,
        "is_over": phase.is_over,
        "is_hedge_pending": trip.is_hedge_pending and not phase.is_over,
        "began": iso(plan.began_ns),
        "hedge_by": iso(plan.hedge_by_ns),
        "flat_by": iso(plan.flat_by_ns),
        "ended": iso(row.ended_ns) if row.ended_ns else None,
        "size": amount(plan.first.amount_in, units.sol_usd),
        "result": amount(row.kept.result if phase.is_over else trip.result, units.sol_usd),
        "cost": amount(trip.cost, units.sol_usd),
        "held": units.middle(plan.first.venue, held),
        "attempts": trip.attempts,
        "steps": [{"ts": iso(each.event.at_ns), "text": _scene_text(each, units)} for each in scenes],
    }


def sighting_document(seen: Sighting, units: Units) -> Document:
    return {
        "ts": iso(seen.at_ns),
        "pair": pair_of(seen.first),
        "first": seen.first,
        "second": seen.second,
        "size": amount(seen.amount, units.sol_usd),
        "gross": amount(seen.gross, units.sol_usd),
        "net": amount(seen.net, units.sol_usd),
        "why_not": seen.why_not,
    }


def tally_documents(tallies: Iterable[Tally], units: Units) -> list[Document]:
    """Return how often each thing was seen in all of the hours together, the most frequent first."""
    summed: dict[tuple[str, str, str], tuple[int, int]] = {}
    for each in tallies:
        key = (each.first, each.second, each.why_not)
        count, best = summed.get(key, (0, each.net_best))
        summed[key] = (count + each.count, max(best, each.net_best))
    return [
        {
            "first": first,
            "second": second,
            "why_not": why_not,
            "count": count,
            "net_best": amount(best, units.sol_usd),
        }
        for (first, second, why_not), (count, best) in sorted(summed.items(), key=lambda item: -item[1][0])
    ]


def transfer_document(kept: TransferKept, units: Units) -> Document:
    of = kept.transfer
    return {
        "id": of.id,
        "pair": kept.pair,
        "asset": "SOL" if kept.asset == "money" else kept.pair,
        "source": of.source,
        "target": of.target,
        "state": of.state.value,
        "amount": units.of(kept, of.amount),
        "received": units.of(kept, of.received),
        "planned": iso(kept.planned_ns),
        "late_after": iso(kept.late_ns),
        "changed": iso(kept.at_ns),
    }


def trip_records(row: TripRow, units: Units) -> list[MemoryRecord]:
    """Return a trip that is over as a trajectory: its opening, each event, its outcome; and an alert where it waits."""
    trip, scenes = story(row.kept.plan, row.kept.events)
    plan, phase, result = row.kept.plan, row.kept.phase, row.kept.result
    tags = (KIND, pair_of(plan.first.venue))
    title = f"Arbitrage {plan.first.venue} to {plan.second.venue}"
    began = (
        f"{title}: {sol_text(plan.first.amount_in)} SOL, to be hedged until {iso(plan.hedge_by_ns)} "
        f"and flat by {iso(plan.flat_by_ns)}."
    )
    document = trip_document(row, units)
    figures = {name: value for name, value in document.items() if name != "steps"}
    records = [_record(row, "open", "open", began, title=title, tags=tags, embed=True, metadata=figures)]
    shown = [each for each in scenes if not isinstance(each.event, Looked)][:_LINES_MAX]
    records += [
        _record(row, "step", str(number), _scene_text(each, units), at_ns=each.event.at_ns)
        for number, each in enumerate(shown)
    ]
    ended = _end_text(title, row, trip, units)
    outcome = "won" if result > 0 else "lost" if result < 0 else "even"
    end = _record(row, "close", "close", ended, at_ns=row.ended_ns, embed=True, metadata=figures)
    records.append(replace(end, outcome=outcome, reward_lamports=result))
    if phase is Phase.STUCK or trip.broken:
        text = f"{ended} No trip is opened until a person has looked: `memmcp-trade arbitrage resume`."
        records.append(
            MemoryRecord(
                action="note",
                key=f"{KIND}/{plan.id}/alert",
                ts_event_ns=row.ended_ns,
                namespace=NAMESPACE,
                kind=ALERT,
                text=text,
                tags=(*tags, "waits"),
                metadata=figures,
                embed=True,
            )
        )
    return records


def transfer_record(kept: TransferKept, units: Units) -> MemoryRecord:
    of = kept.transfer
    name = "SOL" if kept.asset == "money" else f"of the token of {kept.pair}"
    text = f"Transfer of {units.of(kept, of.amount)} {name} from {of.source} to {of.target}: {of.state.value}."
    if of.state is TransferState.ARRIVED:
        text = f"{text[:-1]}, {units.of(kept, of.received)} came."
    return MemoryRecord(
        action="note",
        key=f"{TRANSFER}/{of.id}/{kept.events}",
        ts_event_ns=kept.at_ns,
        namespace=NAMESPACE,
        kind=ALERT if of.state in (TransferState.LATE, TransferState.LOST) else TRANSFER,
        text=text,
        tags=(KIND, kept.pair, of.state.value),
        metadata=transfer_document(kept, units),
        embed=True,
    )


def seen_record(hour_ns: int, tallies: Sequence[Tally], units: Units) -> MemoryRecord:
    """Return what was seen in an hour, and why it was not taken, as one memory."""
    found = tally_documents(tallies, units)
    taken = sum(each["count"] for each in found if not each["why_not"])
    lines = [
        f"{each['first']} to {each['second']}: {each['why_not'] or 'taken'} {each['count']} times, "
        f"the best net {each['net_best']['sol']} SOL"
        for each in found[:_LINES_MAX]
    ]
    head = (
        f"Arbitrage in the hour from {iso(hour_ns)}: {sum(each['count'] for each in found)} looks, {taken} trips taken."
    )
    return MemoryRecord(
        action="note",
        key=f"{SEEN}/{hour_ns}",
        ts_event_ns=hour_ns + 3_600 * NS_PER_S,
        namespace=NAMESPACE,
        kind=SEEN,
        text=" ".join([head, *(f"{line}." for line in lines)]),
        tags=(KIND,),
        metadata={"hour": iso(hour_ns), "seen": found[:_LINES_MAX]},
    )


def _record(
    row: TripRow,
    action: str,
    part: str,
    text: str,
    *,
    at_ns: int | None = None,
    title: str = "",
    tags: tuple[str, ...] = (),
    embed: bool = False,
    metadata: Document | None = None,
) -> MemoryRecord:
    plan = row.kept.plan
    return MemoryRecord(
        action=action,  # type: ignore[arg-type]
        key=f"{KIND}/{plan.id}/{part}",
        ts_event_ns=plan.began_ns if at_ns is None else at_ns,
        namespace=NAMESPACE,
        kind=KIND,
        text=text,
        title=title,
        tags=tags,
        metadata=metadata or {},
        trajectory_id=plan.id,
        embed=embed,
    )


def _scene_text(scene: Scene, units: Units) -> str:
    event, attempt = scene.event, scene.attempt
    goes_on = _PHASES.get(scene.phase, "")
    after = f"; {goes_on} is next" if goes_on else f"; {_ENDS[scene.phase]}"
    if attempt is None or not isinstance(event, Settled | Dead):
        return f"{'began' if not isinstance(event, Looked) else 'its time went on'}{after}"
    cost = f", at a cost of {sol_text(event.cost)} SOL" if event.cost else ""
    leg = "both legs at once" if attempt.is_whole else _PHASES.get(attempt.phase, "an attempt")
    what = f"{leg} at {attempt.venue}"
    if isinstance(event, Dead):
        return f"{what} was not filled{cost}{after}"
    given, got = event.amount_in, event.amount_out
    if attempt.is_whole:
        filled = f"gave {sol_text(given)} SOL for {sol_text(got)} SOL"
    elif attempt.gives_money:
        filled = f"gave {sol_text(given)} SOL for {units.middle(attempt.venue, got)}"
    else:
        filled = f"gave {units.middle(attempt.venue, given)} for {sol_text(got)} SOL"
    return f"{what} {filled}{cost}{after}"


def _end_text(title: str, row: TripRow, trip: Trip, units: Units) -> str:
    left = f" {units.middle(row.kept.plan.first.venue, trip.middle)} are left." if trip.middle else ""
    phase = row.kept.phase
    broken = f" {trip.broken} fills gave less than their order allowed." if trip.broken else ""
    return f"{title}: {_ENDS.get(phase, phase.value)}, result {sol_text(row.kept.result)} SOL.{left}{broken}"
