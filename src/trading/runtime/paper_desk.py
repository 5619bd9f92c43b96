"""The desk as the outside meets it: what ``DeskReadings`` tells, orders previewed and placed once per key, controls."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import RunArchive
from trading.adapters.profile_files import named_profile
from trading.adapters.sql_journal import JournalStore
from trading.config import Sections
from trading.errors import InvalidInput, Unavailable
from trading.model import commands, events
from trading.model.event_codec import decode
from trading.model.profile_content import content_of

from . import orders, rebalancing, reviewing
from .assessing import Assessing
from .bans import with_bans
from .controls import asked_of, command_of, given, require_same
from .desk_readings import DeskReadings
from .documents import Document
from .mailbox import Mailbox
from .naming import public_id
from .order_answers import order_answer
from .orders import Shown
from .previews import Previews, Refused
from .promoter import ACTIONS
from .reservations import Reservations
from .session import Session
from .stage import Stage
from .waiting import HOW_TO_LOOK

OUTCOME_KINDS = ("order_filled", "order_rejected")

Confirm = Callable[[Session, Mapping[str, Any], str], Document]


class PaperDesk(DeskReadings):
    """Every method answers with a document of the server's wire. A refusal is a document with ``status``.

    Raises: InvalidInput naming the field; Unavailable when the loop is busy, stopped or cannot record.
    """

    def __init__(
        self,
        stage: Stage,
        mailbox: Mailbox,
        store: JournalStore,
        previews: Previews,
        sections: Sections,
        profiles_dir: Path | None = None,
        review: reviewing.LiveReview | None = None,
    ) -> None:
        super().__init__(stage, mailbox, store, sections, review)
        self._previews = previews
        self._reservations = Reservations(previews.expiry_s, anyio.current_time)
        self._profiles_dir = profiles_dir
        self.assessing: Assessing | None = None
        """Who asks the sidecar for others, None where there is no sidecar."""
        self._under_way: dict[tuple[str, str], anyio.Lock] = {}

    async def answer_review(self, request: Mapping[str, Any], *, actor: str) -> Document:
        """Answer what waits for a person; return what waits still. The caller has checked that it is one."""
        given = {name: str(request[name]) for name in ("item", "answer", "reason")}
        said = given["item"], given["answer"], actor, given["reason"]
        if self.arbitraging is not None and given["item"].startswith((reviewing.EVM_SWAP, reviewing.EVM_ACCOUNT)):
            await self.arbitraging.answer(*said)
        elif self._review is not None:
            await self._review.answer(*said)
        else:
            msg = "item: nothing waits for such an answer where the money is paper"
            raise InvalidInput(msg, field="item", hint="a desk that is halted resumes with `memmcp-trade resume`")
        return self._with_context({"waiting": await self._for_a_person()})

    async def answer_arbitrage(self, request: Mapping[str, Any], *, actor: str) -> Document:
        """Do what a person says of arbitrage; return how it stands. The caller has checked that it is one."""
        await self._arbitrage_view().answer(request, actor)
        return await self.arbitrage(part="status", cursor=None, limit=1)

    async def assess(self, request: Mapping[str, Any], *, agent: str) -> Document:
        """Put a question to the sidecar. Raises: InvalidInput naming the field; Unavailable, also without a sidecar."""
        if self.assessing is None:
            msg = "no sidecar is configured, so nobody can be asked"
            raise Unavailable(msg, hint="name one: TRADING_SIDECAR__URL and TRADING_SIDECAR__MODEL")
        return await self.assessing.answer(request, agent=agent)

    # Orders

    async def place_trade(self, request: Mapping[str, Any], *, agent: str, key: str) -> Document:
        def show(session: Session) -> Shown:
            return orders.preview_trade(session, request, agent)

        def confirm(session: Session, terms: Mapping[str, Any], scoped: str) -> Document:
            return orders.confirm_trade(session, terms, agent, scoped)

        return await self._previewed("trade", request, agent, key, show, confirm)

    async def close_position(self, request: Mapping[str, Any], *, agent: str, key: str) -> Document:
        drift = self._sections.preview.drift_bps_max

        def show(session: Session) -> Shown:
            return orders.preview_close(session, request)

        def confirm(session: Session, terms: Mapping[str, Any], scoped: str) -> Document:
            return orders.confirm_close(session, terms, agent, scoped, drift)

        return await self._previewed("close", request, agent, key, show, confirm)

    async def rebalance(self, request: Mapping[str, Any], *, agent: str, key: str) -> Document:
        def show(session: Session) -> Shown:
            return rebalancing.preview(session, request, agent)

        def confirm(session: Session, terms: Mapping[str, Any], scoped: str) -> Document:
            return rebalancing.confirm(session, terms, agent, scoped)

        return await self._previewed("rebalance", request, agent, key, show, confirm)

    async def answered(self, *, agent: str, key: str) -> Document | None:
        """Return what was done under this key, as it stands now; None while nothing was."""
        known = await self._answered(agent, key)
        return None if known is None else self._with_context(await self._outcome(known))

    async def control(self, request: Mapping[str, Any], *, actor: str, key: str) -> Document:
        """Carry a control out, once per key. A promotion's answer says what each gate read, where it was asked now."""
        said: Document = {}
        async with self._once(actor, key):
            known = await self._answered(actor, key)
            if known is None:
                command, said = await self._prepared(request, actor, f"{actor}/{key}")
                known = said if command is None else await self._commanded(command, actor, key, asked_of(request))
            require_same(known, request, key)
        if said:
            await anyio.to_thread.run_sync(self.promoter.copy_steps)
        current = self._stage.current.snapshot
        message = known["message"]
        return self._with_context(
            {
                "status": known["status"] if known["status"] in ("denied", "checked") else "done",
                "state": current["state"],
                "entries_allowed": current["entries_allowed"],
                "effect": message,
                "order_ids": [public_id(known["run_id"], each) for each in known.get("orders", [])],
                **{name: value for name, value in said.items() if name not in ("status", "message")},
            }
        )

    async def _commanded(self, command: commands.Command, actor: str, key: str, asked: Document) -> Document:
        """Have the kernel carry a command out between two cycles, unless it did so under this key."""

        def run(session: Session) -> Document:
            earlier = self._store.answer(actor, key)
            if earlier is not None:  # an asker who gave up was served all the same
                return earlier
            outcome = session.command(command)
            sent = orders.sent(session, [each.id for each in outcome.orders], outcome.denied, outcome.effect)
            session.remember_answer(actor, key, {**sent, "asked": asked})
            return sent

        return await self._mailbox.ask(run)

    async def _prepared(
        self, request: Mapping[str, Any], actor: str, key: str
    ) -> tuple[commands.Command | None, Document]:
        """Return the command of a request, and what else there is to say. Raises: InvalidInput."""
        if request.get("action") in ACTIONS:
            return await self.promoter.prepare(request, actor, key)
        return await anyio.to_thread.run_sync(self._command, request, actor, key), {}

    def _command(self, request: Mapping[str, Any], actor: str, key: str) -> commands.Command:
        """Return the command of a request, with the whole of a profile that it names. Raises: InvalidInput."""
        if request.get("action") != "profile":
            return command_of(request, actor, key)
        wanted = named_profile(str(given(request, "profile")), self._profiles_dir)
        profile = with_bans(wanted, self._sections.live)
        return commands.SwitchProfile(key, actor, request.get("reason") or "", profile.name, content_of(profile))

    async def _previewed(
        self,
        what: str,
        request: Mapping[str, Any],
        agent: str,
        key: str,
        show: Callable[[Session], Shown],
        confirm: Confirm,
    ) -> Document:
        async with self._once(agent, key):
            known = await self._answered(agent, key)
            if known is None and request.get("preview_id") is None:
                return self._with_context(self._kept(what, request, agent, await self._mailbox.ask(show)))
            if known is None:
                taken = self._previews.take(request["preview_id"], request, agent)
                if isinstance(taken, Refused):
                    return self._with_context({"status": taken.status, "message": taken.message})
                if taken.terms["what"] != what or taken.terms["run_id"] != self._stage.current.run_id:
                    return self._with_context({"status": "stale", "message": "this preview was for something else"})
                terms = taken.terms

                def run(session: Session) -> Document:
                    answer = confirm(session, terms, f"{agent}/{key}")
                    if answer["status"] != "stale":
                        session.remember_answer(agent, key, answer)
                    return answer

                known = await self._mailbox.ask(run)
        answer = await self._outcome(known)
        if what == "trade" and "order_id" in answer and "mint" in request:
            self._reservations.ordered(request["mint"], agent, answer["order_id"], answer.get("trajectory_id", ""))
        return self._with_context(answer)

    def _kept(self, what: str, request: Mapping[str, Any], agent: str, shown: Shown) -> Document:
        """Return what was shown, with a preview id where it can be carried out and no other agent is about to."""
        if shown.terms is None:
            return shown.document
        wishes = _wishes(what, shown.terms)
        held = self._reservations.of_another(wishes, agent)
        if held is not None:
            instrument = self._stage.current.instruments.get(held.mint)
            denied = held.told(held.mint if instrument is None else instrument.symbol, self._reservations.now_s)
            told = {"status": "denied", "message": f"{denied.message} ({denied.reason})"}
            return shown.document | told | {"verdict": orders.verdict_document(denied)}
        for mint, wish in wishes.items():
            self._reservations.hold(mint, agent, wish)
        terms = {**shown.terms, "what": what, "run_id": self._stage.current.run_id}
        preview = self._previews.make(request, agent, terms)
        expires = datetime.now(UTC) + timedelta(seconds=self._previews.expiry_s)
        return shown.document | {"preview_id": preview.id, "expires_at": expires.isoformat()}

    async def _outcome(self, known: Mapping[str, Any]) -> Document:
        """Return the answer to an order as it stands now: done once all of its fills are known."""
        if sent := rebalancing.orders_of(known):
            found = await anyio.to_thread.run_sync(self._reports, int(known["run"]), sent)
            waiting = {each["order_id"]: each for each in self._stage.waiting_orders(known["run_id"])}
            return rebalancing.settled(known, found, waiting)
        if known["status"] != "sent" or not known["orders"]:
            return {name: value for name, value in known.items() if name not in {"run", "run_id", "orders", "asked"}}
        ids = list(known["orders"])
        run = int(known["run"])
        rung = self._stage.next_change()
        reports = await anyio.to_thread.run_sync(self._reports, run, ids)
        with anyio.move_on_after(self._sections.paper.fill_wait_s):
            while len(reports) < len(ids) and not self._waiting(known["run_id"], ids):
                await rung.wait()
                rung = self._stage.next_change()
                reports = await anyio.to_thread.run_sync(self._reports, run, ids)
        return order_answer(known, ids, reports) | self._waiting(known["run_id"], ids)

    def _waiting(self, run_id: str, ids: list[str]) -> Document:
        """Return what to say of an order that waits for the operator, nothing where none of these does."""
        named = {public_id(run_id, each) for each in ids}
        found = [each for each in self._stage.waiting_orders(run_id) if each["order_id"] in named]
        if not found:
            return {}
        first = found[0]
        message = f"waits for the operator's approval until {first['expires_at']}. {HOW_TO_LOOK}"
        return {"status": first["status"], "message": message, "expires_at": first["expires_at"], "approval": first}

    def _reports(self, run: int, ids: list[str]) -> dict[str, events.Event]:
        """Return the fills and rejections of these orders, as far as there are any."""
        found: dict[str, events.Event] = {}
        for row in RunArchive(self._store, run).mentioning(ids, OUTCOME_KINDS):
            event = decode(row.kind, parse_json(row.body))
            if isinstance(event, events.OrderFilled) and event.fill.order_id in ids:
                found[event.fill.order_id] = event
            elif isinstance(event, events.OrderRejected) and event.rejected.order_id in ids:
                found[event.rejected.order_id] = event
        return found

    async def _answered(self, scope: str, key: str) -> Document | None:
        return await anyio.to_thread.run_sync(self._store.answer, scope, key)

    @asynccontextmanager
    async def _once(self, scope: str, key: str) -> AsyncIterator[None]:
        """Let requests with one key in one after the other, so that the second finds the answer of the first."""
        lock = self._under_way.setdefault((scope, key), anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            # One who gave up waiting must not take the lock away from the one who holds it.
            if not lock.locked() and lock.statistics().tasks_waiting == 0:
                self._under_way.pop((scope, key), None)


def _wishes(what: str, terms: Mapping[str, Any]) -> dict[str, str]:
    """Return what is to be done with each token; closing a position reserves nothing and waits for nobody."""
    if what == "trade":
        return {terms["mint"]: terms["side"]}
    legs = terms["legs"] if what == "rebalance" else ()
    return {leg["mint"]: leg["side"] for leg in legs if "mint" in leg}
