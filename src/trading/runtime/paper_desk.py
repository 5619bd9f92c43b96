"""The desk as the outside meets it: documents to read, orders previewed and placed once per key, controls."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range, RunArchive
from trading.adapters.mark_buckets import MarkBuckets
from trading.adapters.profile_files import named_profile
from trading.adapters.sql_journal import JournalStore
from trading.config import Sections
from trading.errors import InvalidInput, Unavailable
from trading.model import commands, events
from trading.model.event_codec import decode
from trading.model.profile_content import content_of
from trading.model.units import NS_PER_S

from . import history, orders, rebalancing, reviewing, views
from .assessing import Assessing
from .bans import with_bans
from .controls import command_of, given
from .documents import Document, iso
from .funnel import funnel
from .history import RunView
from .mailbox import Mailbox
from .naming import public_id
from .night import night
from .order_answers import order_answer
from .orders import Shown
from .outlook import outlook
from .previews import Previews, Refused
from .promoter import ACTIONS, DeskNow, Promoter
from .reservations import Reservations
from .running_costs import RunningCosts
from .session import Session
from .stage import Stage
from .strategy_digest import digest
from .telling import Telling, before_of, bounded_limit
from .waiting import HOW_TO_LOOK

WINDOW = re.compile(r"^(all|[1-9]\d{0,3}[mhdw])$")
LIMIT_MAX = 500
RESOLUTION_S_MAX = 366 * 86_400
NIGHT_S = 12 * 3_600
OUTCOME_KINDS = ("order_filled", "order_rejected")

Confirm = Callable[[Session, Mapping[str, Any], str], Document]


class PaperDesk:
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
        self._stage = stage
        self._mailbox = mailbox
        self._store = store
        self._previews = previews
        self._reservations = Reservations(previews.expiry_s, anyio.current_time)
        self._sections = sections
        self._profiles_dir = profiles_dir
        self._review = review
        self.figures: Callable[[], Document] = lambda: {"families": []}
        """Tells everything that is counted and measured."""
        self.assessing: Assessing | None = None
        """Who asks the sidecar for others, None where there is no sidecar."""
        self.running_costs: RunningCosts | None = None  # counts what running takes
        self.evolving: Callable[[], Document] | None = None  # tells how the search in the background stands
        self._under_way: dict[tuple[str, str], anyio.Lock] = {}
        self.telling = Telling(stage, lambda: self.figures())
        self.promoter = Promoter(None, sections.promotion, self._now, mailbox.ask)
        """Knows no candidates until ``use_candidates`` says where they are."""

    def use_candidates(self, folder: Path) -> None:
        """Promote what is in the store of this folder, by the trials that are counted there."""
        self.promoter = Promoter(folder, self._sections.promotion, self._now, self._mailbox.ask)

    def _now(self) -> DeskNow:
        current = self._stage.current
        return DeskNow(current.run_id, self._stage.money, current.journal, self._store.path)

    # Reading

    async def snapshot(self) -> Document:
        return self._stage.document()

    async def metrics(self) -> Document:
        """Return the figures as families (``model.meters``); see the server's port."""
        return self.figures()

    async def trades(self, *, strategy: str | None, cursor: str | None, limit: int) -> Document:
        before, limit = before_of(cursor), bounded_limit(limit, LIMIT_MAX)
        run = self._run()
        return self._with_context(
            await anyio.to_thread.run_sync(
                lambda: history.trade_page(run, strategy=strategy, before=before, limit=limit)
            )
        )

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> Document:
        if resolution_s is not None and not 1 <= resolution_s <= RESOLUTION_S_MAX:
            msg = f"resolution_s: 1 to {RESOLUTION_S_MAX}, not {resolution_s}"
            raise InvalidInput(msg, field="resolution_s")
        archive, within = self._run().archive, Range(since_ns, until_ns)
        buckets = MarkBuckets(self._store, self._stage.current.run_number)
        read = partial(history.equity_series, archive, within, resolution_s, buckets)
        return self._with_context(await anyio.to_thread.run_sync(read))

    async def costs(self, *, days: int) -> Document:
        """What running takes beside the trades, with the newest rows of days."""
        return self._with_context(await self.telling.costs(self._run(), self.running_costs, days))

    async def nodes(self) -> Document:
        return self._with_context(await self.telling.nodes(self._run()))

    async def transactions(self, *, cursor: str | None, limit: int) -> Document:
        return self._with_context(await self.telling.transactions(self._run(), cursor=cursor, limit=limit))

    async def profile_log(self, *, cursor: str | None, limit: int) -> Document:
        return self._with_context(await self.telling.profile_log(self._run(), cursor=cursor, limit=limit))

    async def sidecar_log(self, *, cursor: str | None, limit: int) -> Document:
        return self._with_context(await self.telling.sidecar_log(self._run(), cursor=cursor, limit=limit))

    async def strategies(self) -> Document:
        def read(session: Session) -> Document:
            kernel = session.kernel
            return {"strategies": views.strategies(kernel), "outlook": outlook(kernel), "tier": views.tier(kernel)}

        document = await self._mailbox.ask(read)
        searches = {} if self.evolving is None else {"evolution": self.evolving()}
        return self._with_context(document | searches)

    async def candidates(self, *, limit: int) -> Document:
        """The newest parameters that were proposed for promotion, and where each stands."""
        found = await anyio.to_thread.run_sync(self.promoter.candidates, limit)
        return self._with_context(found)

    async def strategy_digest(self, *, strategy: str | None, window: str) -> Document:
        if not WINDOW.match(window):
            msg = f"window: all, or a number with m, h, d or w behind it (24h, 7d), not {window!r}"
            raise InvalidInput(msg, field="window")

        now_ns = self._stage.now_ns

        def read(session: Session) -> Document:
            known = views.strategy_names(session.kernel)
            if strategy is not None and strategy not in known:
                msg = f"strategy: {strategy!r} is unknown; known are {', '.join(known)}"
                raise InvalidInput(msg, field="strategy")
            return digest(session.kernel, known if strategy is None else [strategy], window, now_ns)

        return self._with_context(await self._mailbox.ask(read))

    async def why(
        self,
        *,
        order_id: str | None,
        trajectory_id: str | None,
        mint: str | None,
        since_ns: int | None,
        until_ns: int | None = None,
    ) -> Document:
        run = self._run()
        if order_id is not None or trajectory_id is not None:
            found = await anyio.to_thread.run_sync(
                lambda: history.chain(run, order_id=order_id, trajectory_id=trajectory_id)
            )
            if found is None:
                field = "order_id" if order_id is not None else "trajectory_id"
                msg = f"{field}: this run ({run.run_id}) knows no {order_id or trajectory_id}"
                raise InvalidInput(msg, field=field, hint="trades and snapshots name the ids")
            found["chain"] += self._waiting_steps(run.run_id, found["chain"])
            return self._with_context(found)
        if mint is not None:
            mint = self._mint_of(mint)
        if since_ns is not None and until_ns is not None and since_ns > until_ns:
            msg = f"since: {iso(since_ns)} is later than until, {iso(until_ns)}"
            raise InvalidInput(msg, field="since")
        found = await anyio.to_thread.run_sync(lambda: funnel(run, mint=mint, since_ns=since_ns, until_ns=until_ns))
        answer = self._with_context(found)
        found["funnel"]["feed_age_s"] = answer["feed"]["age_s"]
        found["funnel"]["next_evaluation"] = self._stage.current.snapshot["next_evaluation"]
        return answer

    async def night(self, *, since_ns: int | None) -> Document:
        """What happened since then (unset: in the last ``NIGHT_S`` of the desk's time), and what waits for a person."""
        run, current = self._run(), self._stage.current
        since_ns = max(0, run.now_ns - NIGHT_S * NS_PER_S) if since_ns is None else since_ns
        found = await anyio.to_thread.run_sync(night, run, since_ns, current.sol_usd)
        document = self._stage.document()
        waiting = reviewing.order_items(document["waiting_orders"]) + reviewing.desk_items(document)
        if self._review is not None:
            waiting += await self._review.waiting()
        return self._with_context(found | {"waiting": waiting})

    async def answer_review(self, request: Mapping[str, Any], *, actor: str) -> Document:
        """Answer what waits for a person; return what waits still. The caller has checked that it is one."""
        if self._review is None:
            msg = "item: nothing waits for such an answer where the money is paper"
            raise InvalidInput(msg, field="item", hint="a desk that is halted resumes with `memmcp-trade resume`")
        given = {name: str(request[name]) for name in ("item", "answer", "reason")}
        await self._review.answer(given["item"], given["answer"], actor, given["reason"])
        return self._with_context({"waiting": await self._review.waiting()})

    async def assess(self, request: Mapping[str, Any], *, agent: str) -> Document:
        """Put a question to the sidecar. Raises: InvalidInput naming the field; Unavailable, also without a sidecar."""
        if self.assessing is None:
            msg = "no sidecar is configured, so nobody can be asked"
            raise Unavailable(msg, hint="name one: TRADING_SIDECAR__URL and TRADING_SIDECAR__MODEL")
        return await self.assessing.answer(request, agent=agent)

    async def changes(self) -> AsyncIterator[Document]:
        """Yield the snapshot after each cycle, the newest only: a slow reader skips, it never queues."""
        seen = self._stage.current
        while True:
            seen = await self._stage.changed(seen)
            yield self._stage.document()

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
                known = said if command is None else await self._commanded(command, actor, key)
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

    async def _commanded(self, command: commands.Command, actor: str, key: str) -> Document:
        """Have the kernel carry a command out between two cycles, unless it did so under this key."""

        def run(session: Session) -> Document:
            earlier = self._store.answer(actor, key)
            if earlier is not None:  # an asker who gave up was served all the same
                return earlier
            outcome = session.command(command)
            sent = orders.sent(session, [each.id for each in outcome.orders], outcome.denied, outcome.effect)
            session.remember_answer(actor, key, sent)
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
            return {name: value for name, value in known.items() if name not in {"run", "run_id", "orders"}}
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

    def _waiting_steps(self, run_id: str, chain: list[Document]) -> list[Document]:
        """Return what the orders of a chain wait for now, as further steps of it."""
        ids = {each["order_id"] for each in chain}
        return [
            {
                "step": "approval",
                "ts": each["asked_at"],
                "text": f"waits for the operator's approval until {each['expires_at']}",
                "order_id": each["order_id"],
                "figures": each,
            }
            for each in self._stage.waiting_orders(run_id)
            if each["order_id"] in ids
        ]

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

    def _run(self) -> RunView:
        current = self._stage.current
        archive = RunArchive(self._store, current.run_number)
        return RunView(
            run_id=current.run_id,
            journal=current.journal,
            archive=archive,
            instruments=current.instruments,
            now_ns=self._stage.now_ns,
            passed_over=current.passed_over,
            seen_ns=current.seen_ns,
            rugs=current.rugs,
        )

    def _mint_of(self, given: str) -> str:
        known = self._stage.current.instruments
        if given in known:
            return given
        found = [each.mint for each in known.values() if each.symbol.lower() == given.lower()]
        if len(found) != 1:
            what = "is ambiguous" if found else "is unknown"
            msg = f"mint: {given!r} {what} among the {len(known)} tokens of this feed"
            raise InvalidInput(msg, field="mint", hint=f"mints of that symbol: {', '.join(found) or 'none'}")
        return found[0]

    def _with_context(self, document: Document) -> Document:
        current = self._stage.current
        return {**self._stage.context(current.now_ns or None, has_ended=current.has_ended), **document}


def _wishes(what: str, terms: Mapping[str, Any]) -> dict[str, str]:
    """Return what is to be done with each token; closing a position reserves nothing and waits for nobody."""
    if what == "trade":
        return {terms["mint"]: terms["side"]}
    legs = terms["legs"] if what == "rebalance" else ()
    return {leg["mint"]: leg["side"] for leg in legs if "mint" in leg}
