"""Money that moves by itself: what the wallets did without an order of ours, booked once, and told where it is odd."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

import anyio.to_thread

from trading.model import commands
from trading.model.chain import TransactionSeen
from trading.model.intent import SOL_MINT
from trading.portfolio.chain_flows import AlarmKind, ChainFlows, FlowRules, Told, change_of
from trading.portfolio.flow_booking import Books, carried, steps_of

from .mailbox import Mailbox
from .session import Session

ACTOR = "chain"
ANSWERED = "chain"
"""Under which the desk remembers that a transaction is booked."""

logger = logging.getLogger(__name__)


class Halting(Protocol):
    def halt(self, wallet: str, problem: str, evidence: Mapping[str, Any]) -> None: ...


class FlowWatch:
    """One per desk. ``wallets``: their addresses by name; ``names`` maps mints of the chain to the feed's words."""

    def __init__(
        self, mailbox: Mailbox, journal: Halting, wallets: Mapping[str, str], rules: FlowRules, names: Mapping[str, str]
    ) -> None:
        self._mailbox = mailbox
        self._journal = journal
        self._wallets = {address: name for name, address in wallets.items()}
        self._rules = rules
        self._names = dict(names)
        self._foreign: dict[str, int] = {}

    async def take(self, wallet: str, seen: TransactionSeen) -> None:
        """Book a finalized transaction that is not ours, and halt the wallet where a person has to look.

        Raises: Unavailable where the desk cannot record; the same transaction is to be handed in again then.
        """
        flows = ChainFlows(frozenset(self._wallets), self._rules, self._foreign)
        told = await self._mailbox.ask(lambda session: self._booked(session, flows, seen, wallet))
        self._foreign = flows.foreign
        for alarm in told.alarms:
            logger.warning("transaction %s: %s: %s", seen.signature, alarm.kind, alarm.message)
            # Whoever signed without an intent halts the wallet already.
            if alarm.halts and alarm.kind is not AlarmKind.SIGNED_WITHOUT_INTENT:
                evidence = {"signature": seen.signature, "slot": seen.slot, "alarm": alarm.kind.value}
                await anyio.to_thread.run_sync(self._journal.halt, wallet, alarm.message, evidence)

    def _booked(self, session: Session, flows: ChainFlows, seen: TransactionSeen, wallet: str) -> Told:
        store, kernel = session.journal.store, session.kernel
        if store.answer(ANSWERED, seen.signature) is not None:
            return Told()  # booked before the wallet's history was ticked off
        known = kernel.valuer.instruments

        def value(mint: str, units: int) -> int | None:
            found = kernel.venue.liquidation_lamports(mint, units) if mint in known else 0
            return found or None

        named = tuple(replace(each, mint=self._names.get(each.mint, each.mint)) for each in seen.tokens)
        seen = replace(seen, tokens=named)
        payer = self._wallets[seen.payer if seen.payer in self._wallets else wallet]
        books = Books.of(kernel.state.ledger, payer)
        told = flows.take(seen, books, value, kernel.state.now_ns, known, payer)
        steps = list(steps_of(told.events))
        if kernel.state.wallets is not None and not any(each.kind is AlarmKind.BOOKS_SHORT for each in told.alarms):
            steps += carried(kernel.state.wallets, payer, self._changes(seen, known), told.events, value)
        if steps:
            reason = "; ".join(alarm.message for alarm in told.alarms) or "money came in"
            session.command(commands.BookFlow(f"chain/{seen.signature}", ACTOR, reason, tuple(steps)))
        session.remember_answer(ANSWERED, seen.signature, {"booked": len(told.events)})
        return told

    def _changes(self, seen: TransactionSeen, known: Collection[str]) -> dict[str, dict[str, int]]:
        """Return what a transaction did to each wallet by itself, by mint."""
        found = {}
        for address, name in self._wallets.items():
            change = change_of(frozenset({address}), seen)
            units = {mint: each for mint, each in change.units.items() if mint in known}
            found[name] = units | ({SOL_MINT: change.cash_lamports} if change.cash_lamports else {})
        return found
