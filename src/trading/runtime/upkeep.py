"""Keeps a wallet up: deposits of accounts that stay empty come back, and profit goes to the mandate's cold address.

One thing at a time, and nothing new before the last one is in the books. Whatever dies, the execution journal says
what was begun, and the desk's journal what is booked; both are named by the transaction's signature.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread

from trading.errors import InvalidInput, Unavailable
from trading.execution.executor import Executor
from trading.execution.token_accounts import closing_problem
from trading.execution.upkeep import own_accounts
from trading.execution.upkeep_rules import ACCOUNTS_MAX
from trading.model.identifiers import derived_id
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentRecord, IntentState, OwnAccount
from trading.model.units import NS_PER_S
from trading.model.wallet import MAIN
from trading.ports import Chain, ExecutionJournal

from .mailbox import Mailbox
from .session import Session
from .upkeep_facts import DeskFacts, book, facts_of

PREFIX: Final = "upkeep"
DAY_NS: Final = 24 * 3_600 * NS_PER_S
RECORDS_MAX: Final = 20
MINTS_MAX: Final = 40
SWEEP_LAMPORTS_MIN: Final = 1_000_000
"""Less is not worth a transaction."""
EMPTY_WALLET_LAMPORTS: Final = 890_880
"""An account with less than this is not allowed to exist, unless with nothing at all."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpkeepRules:
    """``close_after_s``: how long an account has to be empty, None: none is closed. ``above_lamports``: the equity
    above which profit is swept, 0: none is; ``keep_lamports`` of equity stay. What failed is tried again after
    ``retry_s``. ``reserve_lamports`` stay in the wallet whatever is swept."""

    close_after_s: float | None
    above_lamports: int
    keep_lamports: int
    reserve_lamports: int
    fee_lamports_max: int
    attempts_max: int = 3
    wait_s: float = 90.0
    retry_s: float = 3_600.0
    poll_s: float = 30.0
    names: Mapping[str, str] = field(default_factory=dict)
    """Mints of the chain to what the feed calls them."""


class Armed(Protocol):
    """``arming.ArmingWatch`` as far as it is used here."""

    @property
    def problem(self) -> str: ...

    @property
    def status(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class UpkeepParts:
    mailbox: Mailbox
    executor: Executor
    chain: Chain
    journal: ExecutionJournal
    armed: Armed
    now_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class SweepView:
    """What would be swept now: ``lamports`` to ``to_address``, or why nothing is."""

    lamports: int
    to_address: str
    why_not: str


class Upkeep:
    """One per wallet. ``run`` works until it is cancelled; ``seen`` says what it found last. ``wallet`` is the address,
    ``name`` what the desk calls it."""

    def __init__(
        self, parts: UpkeepParts, wallet: str, rules: UpkeepRules, place: Path | None = None, name: str = MAIN
    ) -> None:
        self._parts = parts
        self._wallet = wallet
        self._name = name
        self._rules = rules
        self._place = place
        self._mints = {name: mint for mint, name in rules.names.items()}
        self._empty_since_ns: dict[OwnAccount, int] = {}
        self._under_way: set[str] = set()
        self._woken = anyio.Event()
        self.seen: dict[str, Any] = {}

    def changed(self, intent_id: str) -> None:
        """Hear that an intent went a step further: look at once where it is ours."""
        if intent_id in self._under_way:
            self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except Unavailable as error:
                logger.info("upkeep of %s waits: %s", self._wallet, error)
            except InvalidInput as error:
                # The wallet was halted meanwhile, or the journal is not of this place.
                logger.warning("upkeep of %s is not begun: %s", self._wallet, error)
            with anyio.move_on_after(self._rules.poll_s):
                await self._woken.wait()
            self._woken = anyio.Event()

    async def look(self) -> None:
        """Book what is final, then begin one thing more, where there is one to do.

        Raises: Unavailable; InvalidInput where the wallet takes nothing new.
        """
        # In this order: what is not unfinished is among the records as it ended, and so in the books below.
        unfinished = await anyio.to_thread.run_sync(self._parts.journal.unfinished)
        records = await anyio.to_thread.run_sync(self._records)
        await self._book(records)
        sweeps = self._rules.above_lamports > 0
        facts = await self._parts.mailbox.ask(lambda session: facts_of(session, self._name, sweeps=sweeps))
        own = [each for each in unfinished if each.intent.wallet == self._wallet]
        self._under_way = {each.intent.id for each in own if each.intent.kind is not IntentKind.SWAP}
        closing = () if self._under_way else await self._closing(facts, own, records)
        sweep = await self._sweep(facts, own, records)
        await anyio.to_thread.run_sync(self._show, facts, sweep, records)
        if self._under_way or self._parts.armed.problem:
            return
        if closing:
            await self._begin(self._intent(records, IntentKind.CLOSE_ACCOUNTS, closing))
        elif sweep.lamports:
            leaves = self._rules.reserve_lamports + facts.exit_lamports + EMPTY_WALLET_LAMPORTS
            await self._begin(self._intent(records, IntentKind.SWEEP, (), sweep, leaves))

    async def _begin(self, intent: Intent) -> None:
        self._under_way = {intent.id}
        await self._parts.executor.take(intent)

    def _records(self) -> Sequence[IntentRecord]:
        return self._parts.journal.of_keys(f"{PREFIX}/{self._wallet}/", RECORDS_MAX)

    async def _book(self, records: Sequence[IntentRecord]) -> None:
        final = [each for each in reversed(records) if each.is_final and each.settlement is not None]
        names = self._rules.names

        def book_all(session: Session) -> list[tuple[IntentRecord, str]]:
            return [(each, problem) for each in final if (problem := book(session, each, names, self._name))]

        for known, problem in await self._parts.mailbox.ask(book_all) if final else ():
            evidence = {"intent_id": known.intent.id}
            await anyio.to_thread.run_sync(self._parts.journal.halt, self._wallet, problem, evidence)

    async def _closing(
        self, facts: DeskFacts, own: Sequence[IntentRecord], records: Sequence[IntentRecord]
    ) -> tuple[tuple[OwnAccount, int], ...]:
        """Return the accounts that are to be closed now, with what lies in them; empty: none."""
        rules, now_ns = self._rules, self._parts.now_ns()
        if rules.close_after_s is None:
            return ()
        swapped = {mint for each in own for mint in (each.intent.in_mint, each.intent.out_mint)}
        mints = [self._mints.get(name, name) for name in facts.deposits if name not in facts.busy]
        wanted = [mint for mint in mints if mint not in swapped and mint != SOL_MINT][:MINTS_MAX]
        found = await own_accounts(self._parts.chain, self._wallet, wanted)
        held = {
            account: seen.lamports
            for account, seen in found.items()
            if seen is not None and not closing_problem(account, seen, self._wallet)
        }
        self._empty_since_ns = {each: self._empty_since_ns.get(each, now_ns) for each in held}
        if self._failed_lately(records, IntentKind.CLOSE_ACCOUNTS):
            return ()
        due = [each for each, since in self._empty_since_ns.items() if now_ns - since >= rules.close_after_s * NS_PER_S]
        worth = [(each, held[each]) for each in due if held[each] > rules.fee_lamports_max]
        return tuple(worth[:ACCOUNTS_MAX])

    async def _sweep(self, facts: DeskFacts, own: Sequence[IntentRecord], records: Sequence[IntentRecord]) -> SweepView:
        rules, armed = self._rules, self._parts.armed.status.get("armed") or {}
        address = str(armed.get("cold_address", ""))
        if not rules.above_lamports:
            return SweepView(0, address, "sweeping is off (live.sweep_above_sol)")
        problem = self._parts.armed.problem or facts.problem
        if not problem and own:
            problem = f"{len(own)} transactions are under way"
        if not problem and facts.equity_lamports <= rules.above_lamports:
            problem = f"equity of {facts.equity_lamports} lamports is not above {rules.above_lamports}"
        if not problem and self._swept_lately(records):
            problem = "one was swept within 24 hours"
        if not problem and self._failed_lately(records, IntentKind.SWEEP):
            problem = "the last one failed a while ago"
        if problem:
            return SweepView(0, address, problem)
        seen = (await self._parts.chain.accounts([self._wallet]))[self._wallet]
        held = 0 if seen is None else seen.lamports
        stays = rules.reserve_lamports + facts.exit_lamports + EMPTY_WALLET_LAMPORTS
        left_of_day = int(armed["sweep_day_lamports_max"]) - int(self._parts.armed.status["day"]["swept_lamports"])
        bounds = {
            "equity above live.sweep_keep_sol": facts.equity_lamports - rules.keep_lamports - rules.fee_lamports_max,
            "profit": facts.profit_lamports - rules.fee_lamports_max,
            "equity above the tier's": facts.equity_lamports - facts.tier_lamports - rules.fee_lamports_max,
            "the wallet's SOL above its reserves": held - stays - rules.fee_lamports_max,
            "the mandate's sum of a day": left_of_day,
        }
        least = min(bounds, key=lambda name: bounds[name])
        if bounds[least] < SWEEP_LAMPORTS_MIN:
            return SweepView(0, address, f"{least} leaves {max(0, bounds[least])} lamports")
        return SweepView(bounds[least], address, "")

    def _swept_lately(self, records: Sequence[IntentRecord]) -> bool:
        since_ns = self._parts.now_ns() - DAY_NS
        return any(
            each.intent.kind is IntentKind.SWEEP
            and each.state is IntentState.SETTLED
            and each.intent.created_ns > since_ns
            for each in records
        )

    def _failed_lately(self, records: Sequence[IntentRecord], kind: IntentKind) -> bool:
        since_ns = self._parts.now_ns() - int(self._rules.retry_s * NS_PER_S)
        newest = next((each for each in records if each.intent.kind is kind), None)
        if newest is None or newest.state is IntentState.SETTLED:
            return False
        return newest.intent.created_ns > since_ns

    def _intent(
        self,
        records: Sequence[IntentRecord],
        kind: IntentKind,
        closing: Sequence[tuple[OwnAccount, int]],
        sweep: SweepView | None = None,
        leaves_lamports: int = 0,
    ) -> Intent:
        number = 1 + max((int(each.intent.key.rpartition("/")[2]) for each in records), default=0)
        key, now_ns, rules = f"{PREFIX}/{self._wallet}/{number}", self._parts.now_ns(), self._rules
        return Intent(
            id=derived_id("int", key),
            key=key,
            wallet=self._wallet,
            in_mint=SOL_MINT,
            out_mint=SOL_MINT,
            amount_in=0 if sweep is None else sweep.lamports,
            min_out=sum(lamports for _, lamports in closing) if sweep is None else sweep.lamports,
            slippage_bps_max=0,
            fee_lamports_max=rules.fee_lamports_max,
            attempts_max=rules.attempts_max,
            created_ns=now_ns,
            deadline_ns=now_ns + int(rules.wait_s * NS_PER_S),
            is_exit=False,
            reason="profit" if sweep is not None else "empty accounts",
            kind=kind,
            to_address="" if sweep is None else sweep.to_address,
            accounts=tuple(account for account, _ in closing),
            leaves_lamports=leaves_lamports,
        )

    def _show(self, facts: DeskFacts, sweep: SweepView, records: Sequence[IntentRecord]) -> None:
        """Say what was found, also to other processes: a file beside the journals, which nothing rests on."""
        last = next((each for each in records if each.intent.kind is IntentKind.SWEEP and each.settlement), None)
        self.seen = {
            "wallet": self._wallet,
            "looked_ns": self._parts.now_ns(),
            "equity_lamports": facts.equity_lamports,
            "profit_lamports": facts.profit_lamports,
            "sweep": {"lamports": sweep.lamports, "to_address": sweep.to_address, "why_not": sweep.why_not},
            "empty_accounts": len(self._empty_since_ns),
            "last_sweep": None if last is None else swept_body(last),
        }
        if self._place is not None:
            draft = self._place.with_name(f"{self._place.name}.{os.getpid()}")
            try:
                draft.write_text(json.dumps(self.seen), encoding="utf-8")
                draft.replace(self._place)
            except OSError as error:
                logger.warning("%s cannot be written: %s", self._place, error)


def swept_body(known: IntentRecord) -> dict[str, Any]:
    """Return a finalized sweep as a document."""
    assert known.settlement is not None
    return {
        "lamports": known.settlement.in_units,
        "to_address": known.intent.to_address,
        "signature": known.settlement.signature,
        "created_ns": known.intent.created_ns,
        "error": known.settlement.error,
    }
