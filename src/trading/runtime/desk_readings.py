"""The half of the desk that only tells: documents of what there is, was and why."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from trading.adapters.journal_archive import Range, RunArchive
from trading.adapters.mark_buckets import MarkBuckets
from trading.adapters.sql_journal import JournalStore
from trading.config import Sections
from trading.errors import InvalidInput
from trading.model.units import NS_PER_S

from . import history, reviewing, views
from .curve_marks import curve_marks
from .documents import Document, amount, iso
from .funnel import funnel
from .history import RunView
from .mailbox import Mailbox
from .night import night
from .outlook import outlook
from .price_history import candles
from .projecting import Projecting
from .promoter import DeskNow, Promoter
from .running_costs import RunningCosts
from .session import Session
from .stage import Stage
from .strategy_digest import Stretch, digest
from .telling import Telling, before_of, bounded_limit
from .trade_list import trade_filter, trade_page

if TYPE_CHECKING:
    from .arbitrage_view import ArbitrageView
    from .arbitraging import Arbitraging

WINDOW = re.compile(r"^(all|[1-9]\d{0,3}[mhdw])$")
LIMIT_MAX = 500
RESOLUTION_S_MAX = 366 * 86_400
NIGHT_S = 12 * 3_600


class DeskReadings:
    """Every method answers with a document of the server's wire and changes nothing.

    Raises: InvalidInput naming the field; Unavailable when the loop is busy or stopped.
    """

    def __init__(
        self,
        stage: Stage,
        mailbox: Mailbox,
        store: JournalStore,
        sections: Sections,
        review: reviewing.LiveReview | None,
    ) -> None:
        self._stage = stage
        self._mailbox = mailbox
        self._store = store
        self._sections = sections
        self._review = review
        self._projecting = Projecting(store)
        self.figures: Callable[[], Document] = lambda: {"families": []}
        """Tells everything that is counted and measured."""
        self.running_costs: RunningCosts | None = None  # counts what running takes
        self.evolving: Callable[[], Document] | None = None  # tells how the search in the background stands
        self.arbitraging: Arbitraging | None = None  # who works between venues, where that is on
        self.telling = Telling(stage, lambda: self.figures())
        self.promoter = Promoter(None, sections.promotion, self._now, mailbox.ask)
        """Knows no candidates until ``use_candidates`` says where they are."""

    def use_candidates(self, folder: Path) -> None:
        """Promote what is in the store of this folder, by the trials that are counted there."""
        self.promoter = Promoter(folder, self._sections.promotion, self._now, self._mailbox.ask)

    def _now(self) -> DeskNow:
        current = self._stage.current
        return DeskNow(current.run_id, self._stage.money, current.journal, self._store.path)

    async def snapshot(self) -> Document:
        return self._stage.document()

    async def metrics(self) -> Document:
        """Return the figures as families (``model.meters``); see the server's port."""
        return self.figures()

    async def trades(
        self, *, strategy: str | None, cursor: str | None, limit: int, wanted: Mapping[str, Any] | None = None
    ) -> Document:
        """The newest trades first; ``wanted``: see ``trade_list.trade_filter``."""
        before, limit = before_of(cursor), bounded_limit(limit, LIMIT_MAX)
        run, filtered = self._run(), trade_filter(strategy, wanted or {}, self._mint_of)
        page = await anyio.to_thread.run_sync(partial(trade_page, run, filtered, before=before, limit=limit))
        for name in ("realised", "fees"):  # many days are added up: what they are worth now
            page["totals"][name] = amount(page["totals"][name]["lamports"], self._stage.current.sol_usd)
        return self._with_context(page)

    async def candles(
        self, *, mint: str | None, since_ns: int | None, until_ns: int | None, interval_s: int | None
    ) -> Document:
        """Prices of a token as the desk was told them, from ``since_ns`` on and before ``until_ns``."""
        named = None if mint is None else self._mint_of(mint)
        within = Range(since_ns, None if until_ns is None else until_ns - 1)
        held = self._stage.current.held
        return self._with_context(await anyio.to_thread.run_sync(candles, self._run(), named, within, interval_s, held))

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> Document:
        if resolution_s is not None and not 1 <= resolution_s <= RESOLUTION_S_MAX:
            msg = f"resolution_s: 1 to {RESOLUTION_S_MAX}, not {resolution_s}"
            raise InvalidInput(msg, field="resolution_s")
        archive, within = self._run().archive, Range(since_ns, until_ns)
        buckets = MarkBuckets(self._store, self._stage.current.run_number)
        read = partial(history.equity_series, archive, within, resolution_s, buckets)
        return self._with_context(await anyio.to_thread.run_sync(read))

    async def projection(self) -> Document:
        return self._with_context(await self._projecting.document(self._run(), self._stage.current))

    async def curve_marks(self, *, since_ns: int | None, until_ns: int | None) -> Document:
        read = partial(curve_marks, self._run(), since_ns, until_ns)
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

    async def arbitrage(self, *, part: str, cursor: str | None, limit: int) -> Document:
        """How arbitrage stands, its trips, what was seen, its transfers: ``arbitrage_view.PARTS``."""
        return self._with_context(await self._arbitrage_view().document(part, cursor, limit))

    def _arbitrage_view(self) -> "ArbitrageView":
        # Only who asks for it pays for loading it.
        from .arbitrage_view import ArbitrageView

        return ArbitrageView(self._sections.arbitrage, self.arbitraging, self._stage.current.sol_usd)

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

    async def strategy_digest(
        self, *, strategy: str | None, window: str, since_ns: int | None = None, until_ns: int | None = None
    ) -> Document:
        """How each strategy did in a window that ends now, or (``window`` is ``all`` then) from ``since_ns`` on and
        before ``until_ns``."""
        within = Stretch(since_ns, until_ns)
        if not WINDOW.match(window):
            msg = f"window: all, or a number with m, h, d or w behind it (24h, 7d), not {window!r}"
            raise InvalidInput(msg, field="window")
        if window != "all" and not within.is_open:
            msg = f"window: {window!r} beside since or until; give one or the other"
            raise InvalidInput(msg, field="window")
        _require_order(since_ns, until_ns)
        now_ns = self._stage.now_ns

        def read(session: Session) -> Document:
            known = views.strategy_names(session.kernel)
            if strategy is not None and strategy not in known:
                msg = f"strategy: {strategy!r} is unknown; known are {', '.join(known)}"
                raise InvalidInput(msg, field="strategy")
            return digest(session.kernel, known if strategy is None else [strategy], window, now_ns, within)

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
        _require_order(since_ns, until_ns)
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
        return self._with_context(found | {"waiting": waiting + await self._for_a_person()})

    async def _for_a_person(self) -> list[Document]:
        """Return what waits for a person where the money is real."""
        found = [] if self._review is None else await self._review.waiting()
        return found if self.arbitraging is None else found + await self.arbitraging.waiting()

    async def changes(self) -> AsyncIterator[Document]:
        """Yield the snapshot after each cycle, the newest only: a slow reader skips, it never queues."""
        seen = self._stage.current
        while True:
            seen = await self._stage.changed(seen)
            yield self._stage.document()

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


def _require_order(since_ns: int | None, until_ns: int | None) -> None:
    if since_ns is not None and until_ns is not None and since_ns > until_ns:
        msg = f"since: {iso(since_ns)} is later than until, {iso(until_ns)}"
        raise InvalidInput(msg, field="since")
