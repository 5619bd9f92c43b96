"""The real paper desk under the daemon's application: its own journal, a market that the test moves, a sidecar on
loopback, two candidates (one passes the gates), and what it does copied into the memory journal."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import anyio
from pydantic import SecretStr

from memmcp_server.adapters.trading_desk import AdaptedDesk, JournalMemory
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.ports import Journal, TradingDesk
from tests.doubles.scripted_market import ManualFeed
from tests.doubles.word_scanner import WordScanner
from tests.support.chat_server import KEY, MODEL, ChatServer
from tests.unit.trading.adapters.test_candidate_store import EVIDENCE
from trading.adapters.candidate_store import STORE_NAME, CandidateStore, Proposal
from trading.adapters.canonical import parse_json
from trading.adapters.live_feed_choice import Chosen
from trading.adapters.sql_journal import JournalStore
from trading.config import PaperSection, RelaySection, Sections, SidecarSection
from trading.runtime.paper_desk import PaperDesk
from trading.runtime.paper_run import PaperOptions, paper_desk
from trading.runtime.recorded_runs import JOURNAL_NAME

MINT: Final = "sim:BONK"
SYMBOL: Final = "BONK"
OPERATOR: Final = "operator:operator"
STRATEGY: Final = "momentum_breakout"
WITHIN_S: Final = 30
STALE_AFTER_S: Final = 10**9
"""The market's time is another than the clock's, which is no staleness here."""
RISE: Final = Decimal("1.05")
"""More than a purchase and a sale cost: what is sold after it was no loss, so nothing is barred for a while."""


@dataclass
class PaperStage:
    """``desk`` is open while the application runs over it; ``move`` lets a cycle pass."""

    folder: Path
    symbol: str = SYMBOL
    chat: ChatServer = field(default_factory=ChatServer)
    candidates: dict[str, str] = field(default_factory=dict)
    """The ids of the candidates: ``good`` passes every gate, ``poor`` does not."""
    _desk: PaperDesk | None = None
    _feed: ManualFeed | None = None
    _keys: int = 0

    @property
    def desk(self) -> PaperDesk:
        assert self._desk is not None
        return self._desk

    @contextlib.asynccontextmanager
    async def over(self, journal: Journal) -> AsyncIterator[TradingDesk]:
        """Open the desk, with ``journal`` as its memory."""
        self.folder.mkdir(exist_ok=True)
        self._propose()
        self._feed = ManualFeed(MINT, self.symbol, "0.001")
        options = PaperOptions(
            self.folder, "market", "foundation", profiles_dir=self.folder, candidates_dir=self.folder
        )
        memory = JournalMemory(journal, WordScanner({}))
        async with (
            self.chat.serving() as url,
            paper_desk(options, _sections(url), memory, Chosen(self._feed, "by hand")) as desk,
        ):
            self._desk = desk
            await self.move()
            yield AdaptedDesk(desk)

    def _propose(self) -> None:
        store = CandidateStore.at(self.folder / STORE_NAME)
        good = Proposal(
            STRATEGY, {"channel_bars": 200, "edge_share": 0.7}, EVIDENCE, ("ab" * 32,), "search", 5, "", "ev_1", 3
        )
        poor = replace(EVIDENCE, selection=replace(EVIDENCE.selection, sharpe=20_000))
        self.candidates["good"] = store.propose(good).id
        self.candidates["poor"] = store.propose(replace(good, evidence=poor)).id
        store.close()

    async def move(self, times: Decimal = Decimal(1)) -> JsonObject:
        """Let one cycle pass, at so many times the present price; return the snapshot after it."""
        assert self._feed is not None
        before = (await self.desk.snapshot())["cycle"]
        self._feed.price *= times
        self._feed.push()
        with anyio.fail_after(WITHIN_S):
            async for snapshot in self.desk.changes():
                if snapshot["cycle"] > before:
                    return snapshot
        raise AssertionError

    def _key(self) -> str:
        self._keys += 1
        return f"stage-{self._keys}"

    async def control(self, action: str, **more: Any) -> None:
        wish = {"action": action, "reason": "so that a test may begin", **more}
        done = await self.desk.control(wish, actor="operator:stage", key=self._key())
        assert done["status"] == "done", done

    async def hold(self) -> JsonObject:
        """Buy what a twentieth of a SOL buys, where nothing is held; return the snapshot with it."""
        snapshot = await self.desk.snapshot()
        if snapshot["positions"]:
            return snapshot
        wish = {"side": "buy", "mint": MINT, "amount_sol": "0.05", "reason": "a test buys", "bucket": "manual"}
        # By the operator himself: what an agent ordered is reserved for it for a minute.
        shown = await self.desk.place_trade(wish, agent=OPERATOR, key=self._key())
        assert shown["status"] == "preview", shown
        wish["preview_id"] = shown["preview_id"]
        await self.desk.place_trade(wish, agent=OPERATOR, key=self._key())
        snapshot = await self.move()
        assert snapshot["positions"], snapshot
        return await self.move(RISE)

    async def ready(self) -> JsonObject:
        """As a test may begin: ACTIVE under the first profile, entries allowed, something held."""
        snapshot = await self.desk.snapshot()
        strategies = (await self.desk.strategies())["strategies"]
        is_down = any(each["state"] != "ACTIVE" for each in strategies)
        if is_down or snapshot["state"] != "ACTIVE" or not snapshot["entries_allowed"]:
            await self.control("resume")
        if snapshot["profile"] != "foundation":
            await self.control("profile", profile="foundation")
        await self.move()
        return await self.hold()

    def commands(self, actor: str, after: int = 0) -> tuple[list[tuple[str, JsonObject]], int]:
        """Return what ``actor`` had the desk do, as (kind, body) of its journal behind row ``after``, oldest first, and
        the journal's last row."""
        store = JournalStore.at(self.folder / JOURNAL_NAME)
        try:
            journal = store.open_run(1)
            found = [(row.kind, parse_json(row.body)) for row in journal.rows(after=after)]
            return [(kind, body) for kind, body in found if body.get("actor") == actor], journal.horizon()
        finally:
            store.close()


def _sections(sidecar_url: str) -> Sections:
    return Sections(
        paper=PaperSection(fill_wait_s=0.0, snapshot_interval_s=0.0, stale_after_s=STALE_AFTER_S),
        relay=RelaySection(backoff_base_s=0.01, poll_s=0.05),
        sidecar=SidecarSection(
            url=f"{sidecar_url}/v1", model=MODEL, key=SecretStr(KEY), timeout_s=5, attempts_max=1, cache_s=0
        ),
    )
