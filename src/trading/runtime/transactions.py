"""Transactions as documents: of real money from the journal of what is owed, on paper from the run's simulated ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from trading.adapters.canonical import parse_json
from trading.model import events
from trading.model.event_codec import decode
from trading.model.intent import SOL_MINT, Attempt, AttemptState, IntentKind, IntentRecord, IntentState
from trading.model.order import Order
from trading.model.units import BPS_ONE, NS_PER_S
from trading.ports import JournalRow

from .documents import Document, iso
from .history import RunView, symbol_of
from .naming import public_id

ENDS: Final = ("order_filled", "order_rejected")
PROBLEM_CHARS_MAX: Final = 300
LATENCY_ROWS: Final = 200
"""So many of the newest fills on paper say how long a simulated one takes."""
UNDER_WAY: Final = ("open", "waiting_for_approval", "signed", "landed")


class Owed(Protocol):
    """``ports.ExecutionJournal`` as far as it is shown here."""

    def page(self, before: int | None, limit: int) -> Sequence[tuple[int, IntentRecord]]: ...

    def states(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class Executing:
    """What carries orders of real money. ``wallets``: addresses by name; ``mints``: the feed's name of a mint of the
    chain; ``epoch`` counts the openings of the journal, of which only the newest may write."""

    journal: Owed
    wallets: Mapping[str, str]
    mints: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0


def live_page(run: RunView, live: Executing, before: int | None, limit: int) -> Document:
    """Return wire.TransactionPage without its context, of real money."""
    found = list(live.journal.page(before, limit + 1))
    page = found[:limit]
    local = {known.intent.key.removeprefix(f"{run.run_id}/") for _, known in page}
    orders = _orders(run, local)
    return {
        "transactions": [_live(run, live, known, orders) for _, known in page],
        "next_cursor": str(page[-1][0]) if len(found) > limit else None,
    }


def _live(run: RunView, live: Executing, known: IntentRecord, orders: Mapping[str, Order]) -> Document:
    wish, done = known.intent, known.settlement
    names = {address: name for name, address in live.wallets.items()}
    is_buy, is_swap = wish.in_mint == SOL_MINT, wish.kind is IntentKind.SWAP
    token = live.mints.get(wish.out_mint if is_buy else wish.in_mint, wish.out_mint if is_buy else wish.in_mint)
    order = orders.get(wish.key.removeprefix(f"{run.run_id}/"))
    newest = known.attempts[-1] if known.attempts else None
    sol = None
    if done is not None and is_swap:
        sol = done.in_units if is_buy else done.out_units
    failed = sum(each.fee_lamports for each in known.attempts if each.state is AttemptState.REVERTED)
    return {
        "id": wish.id,
        "order_id": None if order is None else public_id(run.run_id, order.id),
        "trajectory_id": None if order is None else public_id(run.run_id, order.trajectory_id),
        "kind": wish.kind.value,
        "side": ("buy" if is_buy else "sell") if is_swap else None,
        "mint": token if is_swap else "",
        "symbol": symbol_of(run, token) if is_swap else "",
        "wallet": names.get(wish.wallet, wish.wallet),
        "wallet_address": wish.wallet,
        "state": known.state.value,
        "is_simulated": False,
        "ts": iso(wish.created_ns),
        "took_s": _took_s(wish.created_ns, known),
        "attempts": [_attempt(each) for each in known.attempts],
        "signature": None if newest is None else newest.signature,
        "sol_lamports": sol,
        "fee_lamports": 0 if done is None or done.error else done.fee_lamports,
        "priority_lamports": 0 if done is None else done.tip_lamports,
        "failed_lamports": failed,
        "rent_lamports": 0 if done is None else done.rent_lamports,
        "slippage_bps": _short_of_quote(known),
        "slippage_against": "quote",
        "problem": known.problem[:PROBLEM_CHARS_MAX],
        "reason": wish.reason[:PROBLEM_CHARS_MAX],
    }


def _attempt(attempt: Attempt) -> Document:
    return {
        "number": attempt.number,
        "signature": attempt.signature,
        "state": attempt.state.value,
        "fee_lamports": attempt.fee_lamports,
        "signed_at": iso(attempt.signed_ns),
    }


def _took_s(created_ns: int, known: IntentRecord) -> float | None:
    """Return how long it took until the block's own time, which is in whole seconds; None while it is in none."""
    done = known.settlement
    if done is None or done.block_time_s is None:
        return None
    return round(max(0.0, done.block_time_s - created_ns / NS_PER_S), 3)


def _short_of_quote(known: IntentRecord) -> int | None:
    """Return by how much a swap gave less than the offer that it was signed for."""
    done = known.settlement
    if done is None or done.error or known.intent.kind is not IntentKind.SWAP:
        return None
    signed = next((each for each in known.attempts if each.signature == done.signature), None)
    if signed is None or signed.quoted_out <= 0:
        return None
    return (signed.quoted_out - done.out_units) * BPS_ONE // signed.quoted_out


def paper_page(run: RunView, before: int | None, limit: int) -> Document:
    """Return wire.TransactionPage without its context, of simulated money."""
    found = run.journal.newest(ENDS, before=before, limit=limit + 1)
    page = found[:limit]
    ends = [_end(row) for row in page]
    orders = _orders(run, {_order_id(each) for each in ends})
    return {
        "transactions": [_paper(run, each, orders.get(_order_id(each))) for each in ends],
        "next_cursor": str(page[-1].seq) if len(found) > limit else None,
    }


End = events.OrderFilled | events.OrderRejected


def _end(row: JournalRow) -> End:
    event = decode(row.kind, parse_json(row.body))
    assert isinstance(event, events.OrderFilled | events.OrderRejected)
    return event


def _order_id(end: End) -> str:
    return end.fill.order_id if isinstance(end, events.OrderFilled) else end.rejected.order_id


def _ended_ns(end: End) -> int:
    return end.fill.ts_ns if isinstance(end, events.OrderFilled) else end.rejected.ts_ns


def _orders(run: RunView, ids: set[str]) -> dict[str, Order]:
    """Return the orders of these ids, as they were approved."""
    found: dict[str, Order] = {}
    for row in run.archive.mentioning(ids, ("order_approved",)) if ids else ():
        event = decode(row.kind, parse_json(row.body))
        assert isinstance(event, events.OrderApproved)
        found[event.order.id] = event.order
    return found


def _paper(run: RunView, end: End, order: Order | None) -> Document:
    mint = end.fill.mint if isinstance(end, events.OrderFilled) else "" if order is None else order.mint
    ended_ns = _ended_ns(end)
    began_ns = ended_ns if order is None else order.ts_ns
    side = None if order is None else order.side.value
    ended: Document = {"sol_lamports": None, "fee_lamports": 0, "priority_lamports": 0, "rent_lamports": 0}
    state, failed, problem, slippage = "simulated_fill", 0, "", None
    if isinstance(end, events.OrderFilled):
        fill = end.fill
        side, slippage = fill.side.value, fill.slippage_bps
        ended = {
            "sol_lamports": fill.lamports,
            "fee_lamports": fill.network_fee_lamports,
            "priority_lamports": fill.priority_fee_lamports,
            "rent_lamports": fill.rent_lamports,
        }
    else:
        failed, problem = end.rejected.charged_lamports, f"{end.rejected.reason}: {end.rejected.message}"
        state = "simulated_expiry" if end.rejected.reason == "expired" else "simulated_failure"
    return {
        "id": public_id(run.run_id, _order_id(end)),
        "order_id": public_id(run.run_id, _order_id(end)),
        "trajectory_id": public_id(run.run_id, end.trajectory_id),
        "kind": IntentKind.SWAP.value,
        "side": side,
        "mint": mint,
        "symbol": symbol_of(run, mint),
        "wallet": end.wallet,
        "wallet_address": "",
        "state": state,
        "is_simulated": True,
        "ts": iso(began_ns),
        "took_s": round((ended_ns - began_ns) / NS_PER_S, 3),
        "attempts": [],
        "signature": None,
        **ended,
        "failed_lamports": failed,
        "slippage_bps": slippage,
        "slippage_against": "mark",
        "problem": problem[:PROBLEM_CHARS_MAX],
        "reason": "" if order is None else order.reason[:PROBLEM_CHARS_MAX],
    }


def paper_delays_s(run: RunView) -> list[float]:
    """Return how long each of the newest simulated fills took from its decision, in the market's time."""
    ends = [_end(row) for row in run.journal.newest(("order_filled",), limit=LATENCY_ROWS)]
    orders = _orders(run, {_order_id(each) for each in ends})
    return [(_ended_ns(each) - orders[_order_id(each)].ts_ns) / NS_PER_S for each in ends if _order_id(each) in orders]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rows of a run say of its transactions; ``delays_s`` of simulated ones, in the market's time."""

    counts: Document
    delays_s: Sequence[float]


def facts_of(run: RunView, live: Executing | None) -> Facts:
    return Facts(counts_of(run, live), () if live is not None else paper_delays_s(run))


def counts_of(run: RunView, live: Executing | None) -> Document:
    """Return wire.TransactionCounts: of the whole of the journal that real money has, or of this run on paper."""
    if live is not None:
        states = live.journal.states()
        return {
            "success": states.get(IntentState.SETTLED.value, 0),
            "failed": states.get(IntentState.REVERTED.value, 0) + states.get(IntentState.FAILED.value, 0),
            "expired": states["attempts_expired"],
            "cancelled": states.get(IntentState.CANCELLED.value, 0),
            "under_way": sum(states.get(each, 0) for each in UNDER_WAY),
            "needs_review": states.get(IntentState.NEEDS_REVIEW.value, 0),
        }
    rejected = run.archive.rejections()
    filled, approved = run.archive.count_of("order_filled"), run.archive.count_of("order_approved")
    expired, turned_down = rejected.get("expired", 0), sum(rejected.values())
    return {
        "success": filled,
        "failed": turned_down - expired,
        "expired": expired,
        "cancelled": 0,
        "under_way": max(0, approved - filled - turned_down),
        "needs_review": 0,
    }
