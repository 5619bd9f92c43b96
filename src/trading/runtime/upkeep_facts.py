"""What the desk's books say about a wallet's upkeep: what may be swept now, and what a finalized one means to them."""

from collections.abc import Mapping
from dataclasses import dataclass

from trading.adapters.canonical import parse_json
from trading.model import commands
from trading.model.account import TradingState
from trading.model.intent import IntentKind, IntentRecord
from trading.model.tier import tier_bounds
from trading.model.wallet import MAIN
from trading.portfolio.flow_booking import HAND, SWEPT, Books, FlowDraft, steps_of

from .flow_watch import ANSWERED
from .session import Session

ACTOR = "upkeep"


@dataclass(frozen=True, slots=True)
class DeskFacts:
    """``deposits`` are mints of whose account in the wallet the books have a deposit; ``busy`` those that are held or
    on order. ``problem`` says why nothing may be swept now. ``profit_lamports``: what equity has above what came in,
    less what was swept before; ``tier_lamports``: the least equity at which the desk stays in its tier;
    ``exit_lamports``: what the exits of all that is held may cost."""

    deposits: tuple[str, ...]
    busy: frozenset[str]
    problem: str
    equity_lamports: int
    profit_lamports: int
    tier_lamports: int
    exit_lamports: int


def facts_of(session: Session, wallet: str = MAIN, *, sweeps: bool) -> DeskFacts:
    """Read the books, as far as they concern the wallet of that name; nothing changes. ``sweeps`` False: what was swept
    before need not be known."""
    kernel, state = session.kernel, session.kernel.state
    ledger = state.ledger
    value = kernel.valuer.value()
    account = kernel.valuer.account(value)
    open_mints = {order.mint for order in session.open_orders()}
    problem = ""
    if state.trading_state is not TradingState.ACTIVE or not state.entries_allowed:
        problem = f"the desk is {state.trading_state.value} or enters nothing"
    elif open_mints:
        problem = f"{len(open_mints)} tokens have open orders"
    return DeskFacts(
        deposits=tuple(ledger.rent_deposits(wallet)),
        busy=frozenset({*ledger.held_mints(), *open_mints}),
        problem=problem,
        equity_lamports=value.equity_lamports,
        profit_lamports=value.equity_lamports
        - ledger.net_deposits_lamports
        - (swept_lamports(session) if sweeps else 0),
        tier_lamports=tier_bounds(state.tier)[0],
        exit_lamports=state.profile.limits.exit_reserve_lamports * account.tokens_held,
    )


def swept_lamports(session: Session) -> int:
    """Return what this run swept: withdrawals of profit, which are no capital that left."""
    bodies = (parse_json(row.body) for row in session.journal.rows(kinds=("capital_withdrawn",)))
    return sum(body["lamports"] for body in bodies if body["reason"] == SWEPT)


def is_booked(session: Session, signature: str) -> bool:
    return session.journal.store.answer(ANSWERED, signature) is not None


def book(session: Session, known: IntentRecord, names: Mapping[str, str], wallet: str = MAIN) -> str:
    """Book a finalized sweep, or accounts that were closed, once; return why it cannot be, "" where it is.

    ``wallet`` is the name of the wallet that did it; ``names`` maps mints of the chain to what the feed calls them.
    """
    settled, intent = known.settlement, known.intent
    assert settled is not None
    if is_booked(session, settled.signature):
        return ""
    key = f"chain/{settled.signature}"
    books = Books.of(session.kernel.state.ledger, wallet)
    draft = FlowDraft(key, session.kernel.state.now_ns, HAND, books, wallet)
    fits = draft.pay(settled.fee_lamports)
    reason = f"it failed on chain: {settled.error}"
    if not settled.error and intent.kind is IntentKind.SWEEP:
        fits = fits and draft.sweep(settled.in_units)
        reason = f"swept to the cold address {intent.to_address}"
    elif not settled.error:
        before = draft.cash_lamports
        for account in intent.accounts:
            draft.return_deposit(names.get(account.mint, account.mint))
        # What an account held above the deposit of the books, which anybody can send it, came in.
        fits = fits and draft.flow(-settled.rent_lamports - (draft.cash_lamports - before), ())
        reason = f"{len(intent.accounts)} empty accounts were closed"
    if fits:
        session.command(commands.BookFlow(key, ACTOR, reason, steps_of(draft.events)))
    session.remember_answer(ANSWERED, settled.signature, {"booked": len(draft.events) if fits else 0})
    return "" if fits else f"the books have less than what {settled.signature} took: {reason}"
