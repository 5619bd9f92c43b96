"""Carries approved orders from the kernel to the executor, and what became of them back.

Either side may die at any point: an order without a report is open in the kernel's rows, an intent without its report
is in the executor's journal, and both are named by the order. So whatever was not carried is carried again, and what
was carried twice is noticed.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio

from trading.errors import InvalidInput, Unavailable
from trading.execution.executor import Executor
from trading.execution.reported_venue import IntentTerms, intent_of
from trading.model.intent import IntentRecord, IntentState
from trading.model.order import Order
from trading.model.units import BPS_ONE, NS_PER_S

from .mailbox import Mailbox
from .session import Session

POLL_S: Final = 1.0
"""How long a wake-up that got lost can delay an order."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CourierRules:
    """``slippage_bps_max``: what a router may be asked for at most; an order's own ``min_out`` binds besides. An entry
    that is not signed after ``entry_wait_s`` is given up, an exit after ``exit_wait_s``; the kernel decides anew. An
    exit may pay ``exit_fee_times`` the usual priority fee, up to ``fee_lamports_max``: what the signer lets a
    transaction pay, 0 where that is not known."""

    slippage_bps_max: int = 300
    attempts_max: int = 3
    entry_wait_s: float = 20.0
    exit_wait_s: float = 90.0
    mints: Mapping[str, str] = field(default_factory=dict)
    exit_fee_times: int = 1
    fee_lamports_max: Callable[[], int] = lambda: 0


class Courier:
    """One per desk. ``wallets``: their addresses by name. ``run`` works until it is cancelled; ``wake`` says that there
    may be something to carry."""

    def __init__(
        self,
        mailbox: Mailbox,
        executor: Executor,
        wallets: Mapping[str, str],
        rules: CourierRules,
        now_ns: Callable[[], int],
    ) -> None:
        self._mailbox = mailbox
        self._executor = executor
        self._wallets = dict(wallets)
        self._rules = rules
        self._now_ns = now_ns
        self._woken = anyio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            with anyio.move_on_after(POLL_S):
                await self._woken.wait()
            self._woken = anyio.Event()
            try:
                await self.carry()
            except Unavailable as error:
                logger.warning("orders wait: %s", error)
                await anyio.sleep(POLL_S)

    async def carry(self) -> int:
        """Hand every open order in and bring back what is decided; return how many reports were booked.

        Raises: Unavailable, when the desk or a journal cannot be reached; nothing is lost by that.
        """
        booked = 0
        run_id, orders = await self._mailbox.ask(_open)
        for order in orders:
            if order.wallet not in self._wallets:
                logger.warning("order %s waits: the wallet %r is not configured", order.id, order.wallet)
                continue
            known = await self._handed_in(order, run_id)
            if known is not None and known.is_final:
                booked += await self._mailbox.ask(_reporting(order.id, known))
        return booked

    async def _handed_in(self, order: Order, run_id: str) -> IntentRecord | None:
        intent = intent_of(order, self._wallets[order.wallet], run_id, self._terms())
        try:
            return await self._executor.take(intent)
        except InvalidInput as error:
            if error.field == "wallet":  # halted: the order waits, as its wallet does
                logger.warning("order %s waits: %s", order.id, error.message)
                return None
            return IntentRecord(intent, IntentState.FAILED, problem=f"{error.code}: {error.message}")

    def _terms(self) -> IntentTerms:
        rules = self._rules
        return IntentTerms(
            slippage_bps_max=min(rules.slippage_bps_max, BPS_ONE),
            attempts_max=rules.attempts_max,
            entry_wait_ns=int(rules.entry_wait_s * NS_PER_S),
            exit_wait_ns=int(rules.exit_wait_s * NS_PER_S),
            now_ns=self._now_ns(),
            mints=rules.mints,
            exit_fee_times=rules.exit_fee_times,
            exit_fee_lamports_max=rules.fee_lamports_max(),
        )


def _open(session: Session) -> tuple[str, list[Order]]:
    return session.run_id, session.open_orders()


def _reporting(order_id: str, known: IntentRecord) -> Callable[[Session], bool]:
    def book(session: Session) -> bool:
        return session.report(order_id, known)

    return book
