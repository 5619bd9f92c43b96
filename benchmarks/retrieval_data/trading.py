"""What the trading runtime itself remembers of a run on a generated market, and questions about it.

The run is the real engine, the records are the desk's own (``Remembrance``), and they go through a real journal by the
door that the desk uses (``JournalMemory``). Each question has a form in similar words and one in other words, which
keeps only the ticker and the date. "last time" asks for the newest of several, of any or of one kind of outcome.
"""

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.trading_desk import JournalMemory
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import MemoryId, Namespace
from memmcp_server.domain.memory import Memory, MemoryFilter
from trading.adapters.journal_archive import RunArchive
from trading.adapters.sql_journal import JournalStore
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.ports import MemoryRecord
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.runtime.relay import TRADE_KINDS
from trading.runtime.remember import Remembrance

from .cases import NOBODY, Corpus, Question
from .words import lines

CYCLES = 6_000
TOKENS = 10
BATCH = 200
MEMORIES_MAX = 100_000
ASKED_MAX = 24
"""Questions of one category and form at most."""
EVIDENCE_MAX = 4
"""A question that more memories answer is too vague to rank by."""

BOUGHT = (
    "Which strategy bought {symbol} on {day}?|Who got into {symbol} on {day}?",
    "Who bought {symbol} on {day}?|Whose idea was it to open {symbol} on {day}?",
)
WHY_BUY = (
    "Why did {strategy} buy {symbol} on {day}?|What was the reasoning for getting into {symbol} on {day}?",
    "What was the signal to buy {symbol} on {day}?|What made the desk interested in {symbol} on {day}?",
)
WHY_SELL = (
    "Why was {symbol} sold on {day}?|What made us get out of {symbol} on {day}?",
    "For what reason did we sell {symbol} on {day}?|What forced us to abandon {symbol} on {day}?",
)
ENDED = (
    "What happened with {symbol} on {day}, won or lost?|How did the bet on {symbol} turn out on {day}?",
    "Did {strategy} on {symbol} win or lose on {day}?|Was there any profit in {symbol} on {day}?",
)
FILLED = (
    "At what slippage was {symbol} bought on {day}?|What quantity of {symbol} did we receive on {day}?",
    "How many {symbol} were bought on {day}?|How large is the stake in {symbol} acquired on {day}?",
)
PASSED = (
    "Which signal on {symbol} was not acted on on {day}?|Which opportunity in {symbol} did we let go on {day}?",
    "Why was {strategy} on {symbol} not acted on on {day}?|Why did nothing come of {symbol} on {day}?",
)
LAST = (
    "What happened last time with {symbol}?|How did our most recent attempt in {symbol} end?",
    "What was the result of the last trade in {symbol}?|What became of the latest {symbol} adventure?",
)
LAST_LOST = (
    "What failed last time with {symbol}?|Which mistake did we make most recently in {symbol}?",
    "Which trade in {symbol} lost last?|What went wrong lately with {symbol}?",
)
LAST_WON = (
    "What worked last time with {symbol}?|Which recent success did we have in {symbol}?",
    "Which trade in {symbol} won last?|When did {symbol} last pay off?",
)
NEVER = lines("""
    Which lawyer reviewed the shareholder agreement?
    Who repaired the coffee machine in the kitchen?
    What is the weather like in Helsinki?
    How many vacation days does the intern have?
    Which hotel is close to the conference centre?
    What did the dentist recommend?
    Who painted the ceiling of the chapel?
    Which chapter of the textbook covers enzymes?
    How do I renew my passport?
    When does the football season begin?
    Which vaccine needs a booster?
    What colour is the new office carpet?
    How long do chickpeas have to soak?
    Who wrote the libretto of the opera?
    Which bus goes to the botanical garden?
    What is the melting point of chocolate?
    Who designed the logo of the bakery?
    Where is the fuse box in the basement?
    What is the nickname of the goalkeeper?
    How tall is the lighthouse on the cape?
    Which ingredient replaces eggs in pancakes?
    Who inherits the piano of the late aunt?
    How is paper recycled?
    What does the poem say about autumn leaves?
""")


class _Clock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class _Trade:
    """One closed trade: its memory as a whole, and its steps by kind in order."""

    symbol: str
    strategy: str
    outcome: str
    whole: Memory
    steps: tuple[Memory, ...]

    def of(self, kind: str, start: str) -> list[Memory]:
        return [step for step in self.steps if step.kind == kind and step.content.startswith(start)]


@dataclass(frozen=True, slots=True)
class _Pass:
    symbol: str
    strategy: str
    note: Memory


def trading_run(seed: int, cycles: int = CYCLES) -> Corpus:
    """Return the memories of a backtest on the generated market of that seed."""
    records = _records(seed, cycles)
    told = asyncio.run(_remembered([record for record in records if record.action != "snapshot"]))
    # Runs share the namespace of the desk; here each is a desk of its own.
    memories = [replace(memory, namespace=Namespace(f"bench/trades-{seed}")) for memory in told]
    maker = _Asker(random.Random(seed), memories)
    questions = tuple(maker.questions())
    return Corpus(f"trades-{seed}", tuple(_in_order(memories)), maker.threads, questions)


def _records(seed: int, cycles: int) -> list[MemoryRecord]:
    feed = SyntheticFeed(SyntheticMarket(seed=seed, cycles=cycles, tokens=TOKENS))
    with tempfile.TemporaryDirectory() as directory:
        run_backtest(BacktestSpec(feed=feed, run_dir=Path(directory)))
        with contextlib.closing(JournalStore.at(Path(directory) / "journal.db")) as store:
            archive = RunArchive(store, 1)
            remembrance = Remembrance(f"bench{seed}", 0, lambda name: archive.mentioning((name,), TRADE_KINDS))
            return [record for row in store.open_run(1).rows() for record in remembrance.records_of(row)]


def _in_order(memories: list[Memory]) -> list[Memory]:
    """Return the memories with each trajectory's own before its first step: it heads the thread of its steps."""
    wholes = {memory.id: memory for memory in memories if memory.kind == "trajectory"}
    ordered: dict[str, Memory] = {}
    for memory in memories:
        head = wholes.get(MemoryId(memory.trajectory_id)) if memory.trajectory_id is not None else None
        if head is not None:
            ordered.setdefault(head.id, head)
        ordered.setdefault(memory.id, memory)
    return list(ordered.values())


async def _remembered(records: list[MemoryRecord]) -> list[Memory]:
    with tempfile.TemporaryDirectory() as directory:
        async with open_journal(JournalSection(), Path(directory), _Clock()) as journal:
            for start in range(0, len(records), BATCH):
                await JournalMemory(journal, RuleScanner()).write(records[start : start + BATCH])
            return await journal.page(MemoryFilter(), after=None, limit=MEMORIES_MAX, newest_first=False)


class _Asker:
    def __init__(self, chance: random.Random, memories: list[Memory]) -> None:
        self._chance = chance
        self.threads = {m.id: str(m.trajectory_id) for m in memories if m.trajectory_id is not None}
        steps: dict[str, list[Memory]] = {}
        for memory in memories:
            if memory.trajectory_id is not None:
                steps.setdefault(memory.trajectory_id, []).append(memory)
        self._trades: list[_Trade] = []
        for memory in memories:
            if memory.kind == "trajectory" and memory.metadata.get("outcome"):
                strategy, symbol = memory.tags[:2]
                outcome = str(memory.metadata["outcome"])
                self._trades.append(_Trade(symbol, strategy, outcome, memory, tuple(steps[memory.id])))
                self.threads[memory.id] = memory.id
        self._passes = [
            _Pass(m.content.split(" on ")[1].split(" ")[0], m.tags[0], m)
            for m in memories
            if m.kind == "signal" and m.trajectory_id is None and " was not acted on " in m.content
        ]

    def questions(self) -> list[Question]:
        asked: dict[str, list[Question]] = {}

        def ask(category: str, forms: Sequence[str], about: _Trade | _Pass, day: str, evidence: list[Memory]) -> None:
            if not 1 <= len(evidence) <= EVIDENCE_MAX:
                return
            same, _, other = self._chance.choice(forms).partition("|")
            for text, suffix in ((same, "same words"), (other, "other words")):
                text = text.format(symbol=about.symbol, strategy=about.strategy, day=day)
                evidence_ids = frozenset(memory.id for memory in evidence)
                asked.setdefault(f"{category}, {suffix}", []).append(Question(text, "", evidence_ids))

        for trade in self._trades:
            entry, way_out = trade.of("order", "Order to buy"), trade.of("order", "Order to sell")
            began, ended = _day(entry[0]), _day(trade.whole)
            alike = [
                t for t in self._trades if t.symbol == trade.symbol and _day(t.of("order", "Order to buy")[0]) == began
            ]
            signals = [m for t in alike for m in t.of("order", "Order to buy") + _entries(t)]
            ask("who bought", BOUGHT, trade, began, signals)
            ask("why", WHY_BUY, trade, began, signals)
            ask("what happened", FILLED, trade, began, [m for t in alike for m in t.of("fill", "Bought")])
            alike = [t for t in self._trades if t.symbol == trade.symbol and _day(t.whole) == ended]
            sold = [m for t in alike for m in t.of("order", "Order to sell")] + [t.whole for t in alike]
            if way_out:
                ask("why", WHY_SELL, trade, ended, sold)
            ask("what happened", ENDED, trade, ended, [t.whole for t in alike])
        for passed in self._passes:
            day = _day(passed.note)
            alike_notes = [p.note for p in self._passes if p.symbol == passed.symbol and _day(p.note) == day]
            ask("why", PASSED, passed, day, alike_notes)
        for symbol in sorted({trade.symbol for trade in self._trades}):
            for forms, outcomes in ((LAST, "won lost even"), (LAST_LOST, "lost"), (LAST_WON, "won")):
                found = [t for t in self._trades if t.symbol == symbol and t.outcome in outcomes.split()]
                if len(found) > 1:
                    ask("last time", forms, found[-1], "", [found[-1].whole])
        return [*self._chosen(asked), *(Question(text, NOBODY, frozenset()) for text in NEVER)]

    def _chosen(self, asked: dict[str, list[Question]]) -> list[Question]:
        chosen = []
        for category, questions in sorted(asked.items()):
            distinct = list({question.text: question for question in questions}.values())
            self._chance.shuffle(distinct)
            chosen += [Question(q.text, category, q.evidence) for q in distinct[:ASKED_MAX]]
        return chosen


def _entries(trade: _Trade) -> list[Memory]:
    return trade.of("signal", "Signal of")[:1]


def _day(memory: Memory) -> str:
    day = datetime.fromtimestamp(memory.ts_event_ns // 1_000_000_000, tz=UTC)
    return f"{day.day} {day:%B %Y}"
