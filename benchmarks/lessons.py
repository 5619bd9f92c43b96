"""Does "what failed last time" find the lesson? 200 replays, each a market of its own in a namespace of its own.

In a replay two strategies and four agents trade six tokens over three weeks. The desk's trades are told by the desk's
own words and carried by its own adapter, the agents' by the trajectory service, as in life. Some win, some lose.
Winners leave lessons about the same tokens, four earlier losers leave theirs, others talk about them. One losing trade,
the agents' last one, leaves the lesson that is looked for. Three questions are asked of each replay: plain, with the
token, and by the situation in other words.

Lessons, questions and situations are generated: the figures say how well words and meaning are used, not how well
anybody will be served. Goal: the planted lesson is among the first three for 95 % of the questions about what failed
last time, plain or with the token. Those by the situation share no word with the lesson: they show the model's part.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from memmcp_server.adapters.trading_desk import JournalMemory
from memmcp_server.bootstrap import open_services
from memmcp_server.config import EmbeddingSection, Sections, TradingSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.search import SearchQuery
from memmcp_server.domain.times import NS_PER_S, from_ns
from memmcp_server.domain.trajectory_drafts import CloseFields, OpenFields, StepFields
from memmcp_server.services.container import Services
from trading.adapters.canonical import canonical_json
from trading.engine.inputs import encode_input
from trading.model import events
from trading.model.event_codec import encode
from trading.model.instrument import Instrument
from trading.model.market_data import TokenListed
from trading.model.order import Fill, Order, Purpose, Side, Signal
from trading.ports import JournalRow, MemoryRecord
from trading.runtime.remember import Remembrance

GOAL_TOP_3 = 0.95
JUDGED = ("plain", "with the token")
REPLAYS = 200
SEED = 11
SEARCH_LIMIT = 10
PARALLEL = 16
DAY_NS = 86_400 * NS_PER_S
SPAN_NS = 21 * DAY_NS
INDEX_WAIT_S = 600.0
DESK_TRADES = 6
NOISE_NOTES = 6
OTHERS = 8
WINNERS = 3
"""Of the sessions before the last: as many won, the others lost."""
AGENTS = ("cursor", "windsurf", "trae", "claude-desktop")
SYMBOLS = """
BONK WIF POPCAT MYRO GIGA MOODENG PNUT FWOG SLERF BOME TRUMP MICHI TOSHI PONKE MUMU HARAMBE SIGMA GOAT ZEREBRO
CHILLGUY LUCE DADDY NUB BODEN
""".split()  # noqa: SIM905 - two dozen names in three lines


@dataclass(frozen=True)
class Situation:
    """``title`` and ``step`` as the agent writes at the time; ``asked`` as another says it later, in other words."""

    title: str
    step: str
    lost: tuple[str, ...]
    won: str
    asked: str


SITUATIONS = (
    Situation(
        "Chase {token} after a vertical green candle",
        "The price doubled within the hour, so I bought at market before it runs away.",
        (
            "Never jump on {token} straight after a spike: whoever bought early sells to you.",
            "After such a jump let it cool off first; the late buyer pays for everybody's exit.",
        ),
        "Waiting for the second pullback before buying {token} paid twice.",
        "a token has already shot up a lot",
    ),
    Situation(
        "Average into {token} on the way down",
        "It was 20 % cheaper than my first buy, so I bought the same amount once more.",
        (
            "Adding to a losing position only made the hole deeper; accept the first stop.",
            "Do not double down: the second purchase lost more than the first.",
        ),
        "Adding to {token} only after it was in profit worked well.",
        "somebody buys more of what is already under water",
    ),
    Situation(
        "Trade {token} in the thin hours of Sunday night",
        "Volume was a tenth of the weekday's, the spread looked fine on the screen.",
        (
            "With so few buyers around the exit cost more than the idea could earn; stay out at weekends.",
            "Leave it alone when nobody is trading: slippage on the way out took everything.",
        ),
        "Weekday afternoons have the depth that {token} needs.",
        "liquidity is poor because most traders are asleep",
    ),
    Situation(
        "Hold {token} through the unlock of team tokens",
        "A tenth of the supply was to be released at noon; I expected it to be priced in.",
        (
            "Sell before insiders receive their coins; they do not wait.",
            "Scheduled supply is dumped at once. Be flat an hour earlier.",
        ),
        "Buying {token} two days after the release of supply was calm and cheap.",
        "the founders are about to get their share",
    ),
    Situation(
        "Follow a famous account's call on {token}",
        "The account has two million followers, the post was a minute old.",
        (
            "By the time an influencer speaks, he is the seller. Ignore the posts.",
            "Shills are an exit signal and no entry.",
        ),
        "Fading the loud calls on {token} made money.",
        "a celebrity recommends something on social media",
    ),
    Situation(
        "Remove the stop of {token} during a shake-out",
        "It had hit my stop twice and come back each time, so I took the stop away.",
        (
            "Keep the protective order in place whatever happened before; the third time it did not come back.",
            "A position without an exit order is a wish. Put it back at once.",
        ),
        "A wider stop with half the size on {token} survived the noise.",
        "protection against a fall is switched off",
    ),
    Situation(
        "Put half of the bucket into {token} at once",
        "The setup looked perfect, so I went in with five times the usual size.",
        (
            "Size killed us, not the idea: one percent at risk, no matter how sure we are.",
            "Conviction is no reason for a bigger bet; the usual fraction would have been a scratch.",
        ),
        "Three small entries in {token} did better than one big one.",
        "too much is wagered on a single bet",
    ),
    Situation(
        "Buy {token} without checking who holds it",
        "The chart was clean; I did not look at the list of holders.",
        (
            "Two wallets owned most of it and pulled the rug. Look at the distribution before anything else.",
            "Check concentration and mint authority first: it was drained within minutes.",
        ),
        "A broad spread of owners made {token} a calm ride.",
        "ownership is concentrated in a few hands",
    ),
    Situation(
        "Send the order for {token} with a stale quote",
        "The quote was forty seconds old when I confirmed it.",
        (
            "Ask for a new price right before sending; the market had moved four percent meanwhile.",
            "Old numbers are worse than none: refresh, then confirm.",
        ),
        "Confirming within two seconds kept the fills of {token} near the preview.",
        "the price that was shown is out of date",
    ),
    Situation(
        "Revenge trade in {token} right after a loss",
        "Angry about the last one, I wanted the money back in the same hour.",
        (
            "Stop for the day after a defeat; the next decision is made by temper.",
            "A pause of an hour costs nothing, tilt costs the week.",
        ),
        "Coming back to {token} the next morning with a plan worked.",
        "emotions take over following a setback",
    ),
)
PLAIN = (
    "what failed last time",
    "what went wrong last time?",
    "which mistake should we not repeat",
    "what did not work the last time, and what did we learn",
    "the lesson of our last losing trade",
    "what lost us money recently",
    "what was the last failure about",
    "what should I avoid doing again",
)
OF_TOKEN = (
    "what failed last time with {token}",
    "what went wrong last time we traded {token}",
    "why did we lose money on {token}",
    "what did the last loss on {token} teach us",
    "which mistake with {token} should not be repeated",
)
OF_SITUATION = (
    "what happened last time when {asked}",
    "what failed last time when {asked}",
    "how did it end badly when {asked}",
    "what did we learn from losing when {asked}",
)
NOISE = (
    "The community of {token} votes on a new logo this week.",
    "{token} was listed on another exchange; volume there is small.",
    "Somebody asked whether {token} has a road map. There is none.",
    "The dashboard shows {token} with two decimals too many.",
    "Holders of {token} passed forty thousand.",
    "Reminder: rename the watch list that holds {token}.",
    "The last meeting about {token} was moved to Thursday.",
    "An article compares {token} with older dog coins.",
    "The feed of {token} had a gap of two bars, filled by the archive.",
    "Last time we looked, {token} had no futures market.",
)
REASONS = {
    "momentum_breakout": "closed above the high of 288 bars with 2.4 times the usual volume, regime {regime}",
    "mean_reversion": "fell to -2.7 deviations from the mean of 144 bars and turned up, regime {regime}",
}
EXITS_LOST = (
    "stop_loss: 812 bps below cost",
    "holding_time: held for 21600 s",
    "signal: closed below the low of 72 bars",
)
EXITS_WON = ("take_profit: 1520 bps above cost", "trailing_stop: 300 bps below the best close since entry")
REGIMES = ("calm/up", "calm/flat", "normal/up", "normal/down", "wild/up", "wild/down")


@dataclass(frozen=True)
class Replay:
    """``lesson_id`` is what has to be found; ``questions`` are by kind."""

    namespace: str
    lesson_id: MemoryId
    questions: Mapping[str, str]


class World:
    """One replay's market: what happens in it, in the order of time, through the doors of agents and desk."""

    def __init__(self, services: Services, number: int, seed: int, now_ns: int) -> None:
        self._services = services
        self._chance = random.Random(f"{seed}/{number}")
        self._namespace = f"lessons/r{number:03d}"
        self._now_ns = now_ns
        self._tokens = self._chance.sample(SYMBOLS, 6)
        self._lesson_id = MemoryId("")

    async def play(self) -> Replay:
        chance = self._chance
        token, situation = chance.choice(self._tokens[:2]), chance.choice(SITUATIONS)
        others = chance.sample([each for each in SITUATIONS if each is not situation], OTHERS)
        last_ns = self._now_ns - chance.randrange(DAY_NS // 4, 3 * DAY_NS)
        sessions = [(last_ns, token, situation, "lost", True)]
        for place, other in enumerate(others):
            # Winners speak of the same token; losers before the last one have left lessons too, all but the first.
            ts_ns = last_ns - chance.randrange(DAY_NS // 2, SPAN_NS)
            about = token if place <= WINNERS else chance.choice(self._tokens)
            sessions.append((ts_ns, about, other, "won" if place < WINNERS else "lost", place > WINNERS))
        moments: list[tuple[int, Callable[[], Awaitable[None]]]] = []
        moments += [(each[0], partial(self._session, *each)) for each in sessions]
        for _ in range(DESK_TRADES):
            ts_ns = self._now_ns - chance.randrange(DAY_NS // 8, SPAN_NS)
            moments.append((ts_ns, partial(self._desk_trade, ts_ns)))
        for text in chance.sample(NOISE, NOISE_NOTES):
            ts_ns = self._now_ns - chance.randrange(0, SPAN_NS)
            moments.append((ts_ns, partial(self._note, ts_ns, text.format(token=chance.choice(self._tokens[:3])))))
        for _, act in sorted(moments, key=lambda each: each[0]):
            await act()
        words = {"token": token, "asked": situation.asked}
        questions = {
            "plain": chance.choice(PLAIN),
            "with the token": chance.choice(OF_TOKEN).format(**words),
            "by the situation": chance.choice(OF_SITUATION).format(**words),
        }
        return Replay(self._namespace, self._lesson_id, questions)

    async def _session(self, ts_ns: int, token: str, situation: Situation, result: str, is_learned: bool) -> None:
        """Let an agent try something, write it down as it goes, and close it with what came of it.

        The last one in time is what is planted.
        """
        chance, episodes = self._chance, self._services.episodes
        agent = Caller(chance.choice(AGENTS), "", "trajectory", "agent", "stdio")
        opening = OpenFields(
            situation.title.format(token=token), "task", self._namespace, tags=[token], ts=from_ns(ts_ns)
        )
        opened = await episodes.open(opening, agent)
        step = StepFields(situation.step, "decision", ts=from_ns(ts_ns + 60 * NS_PER_S))
        await episodes.step(opened.id, step, agent)
        reward = chance.randrange(5, 400) * 1_000_000
        lesson = None
        if result == "won":
            lesson = situation.won.format(token=token)
        elif is_learned:
            lesson = chance.choice(situation.lost).format(token=token)
        end = CloseFields(
            result,
            reward if result == "won" else -reward,
            "lamports",
            lesson=lesson,
            ts=from_ns(ts_ns + chance.randrange(600, 20_000) * NS_PER_S),
        )
        closed = await episodes.close(opened.id, end, agent)
        if lesson is not None and result == "lost":
            assert closed.lesson is not None
            self._lesson_id = closed.lesson.id

    async def _note(self, ts_ns: int, text: str) -> None:
        fields = DraftFields(text, self._namespace, ts=from_ns(ts_ns))
        agent = Caller(self._chance.choice(AGENTS), "", "memory_write", "agent", "stdio")
        draft = make_draft(fields, Provenance(agent=agent.agent), DraftLimits(), self._now_ns)
        await self._services.memories.write(draft, agent)

    async def _desk_trade(self, ts_ns: int) -> None:
        """Let the desk make a trade: its journal's rows, told by its own words, carried by its own adapter."""
        records = desk_records(self._chance, self._namespace, self._chance.choice(self._tokens), ts_ns)
        await JournalMemory(self._services.journal, self._services.scanner).write(records)


def desk_records(chance: random.Random, namespace: str, symbol: str, ts_ns: int) -> list[MemoryRecord]:
    """Return what the desk tells memory of one trade, from the listing of its token to its end."""
    strategy, regime = chance.choice(sorted(REASONS)), chance.choice(REGIMES)
    is_won = chance.random() < 0.5
    paid = chance.randrange(50, 900) * 1_000_000
    got = paid + (1 if is_won else -1) * paid * chance.randrange(100, 1_500) // 10_000
    held_ns = chance.randrange(1_200, 40_000) * NS_PER_S
    mint, name = f"{symbol}mint{chance.randrange(10**9)}", f"{chance.randrange(10**12):x}"
    reason = chance.choice(EXITS_WON if is_won else EXITS_LOST)
    signal = Signal(strategy, mint, ts_ns, 0.6, 300, 3_600, REASONS[strategy].format(regime=regime), {"regime": regime})
    entry = Order(
        f"{name}-1", name, ts_ns, Side.BUY, Purpose.ENTRY, mint, strategy, strategy, paid, 1, 5_000, signal.reason
    )
    bought = Fill(entry.id, ts_ns, Side.BUY, mint, paid, 12_345_678, 1, 1, 5_000, 5_000, 0, 12)
    end_ns = ts_ns + held_ns
    leave = replace(
        entry, id=f"{name}-2", ts_ns=end_ns, side=Side.SELL, purpose=Purpose.EXIT, amount_in=12_345_678, reason=reason
    )
    sold = replace(bought, order_id=leave.id, ts_ns=end_ns, side=Side.SELL, lamports=got)
    realised = got - paid - 20_000
    told: list[Any] = [
        events.SignalRaised(name, signal),
        events.OrderApproved(entry, ()),
        events.OrderFilled(name, strategy, strategy, bought),
        events.OrderApproved(leave, ()),
        events.OrderFilled(name, strategy, strategy, sold),
        events.PositionClosed(
            name, strategy, strategy, mint, end_ns, realised, realised * 10_000 // paid, held_ns, reason
        ),
    ]
    listed = encode_input(TokenListed(ts_ns, Instrument(mint, symbol, 5), "generated"), by_reference=False)
    bodies = [listed, *(encode(event) for event in told)]
    times = [ts_ns, ts_ns, ts_ns, ts_ns, end_ns, end_ns, end_ns]
    rows = [
        JournalRow(seq, at_ns, kind, canonical_json(body))
        for seq, (at_ns, (kind, body)) in enumerate(zip(times, bodies, strict=True), 1)
    ]
    remembrance = Remembrance(f"{namespace}/{name}", ts_ns, lambda _: rows[1:])
    found = [record for row in rows for record in remembrance.records_of(row)]
    return [replace(record, namespace=namespace) for record in found]


async def played(services: Services, count: int, seed: int) -> list[Replay]:
    """Return the replays after everything in them has happened."""
    now_ns = services.clock.now_ns()
    gate = asyncio.Semaphore(PARALLEL)

    async def play(number: int) -> Replay:
        async with gate:
            return await World(services, number, seed, now_ns).play()

    return list(await asyncio.gather(*(play(number) for number in range(count))))


async def asked(services: Services, replays: Sequence[Replay]) -> dict[str, list[int | None]]:
    """Return by kind of question at which rank (from 1) each replay's lesson was found, None for not at all."""
    ranks: dict[str, list[int | None]] = {}
    caller = Caller("asker", "", "memory_search", "agent", "stdio")
    for replay in replays:
        for kind, text in replay.questions.items():
            query = SearchQuery(text, MemoryFilter(namespace=replay.namespace), SEARCH_LIMIT)
            found = [each.memory.id for each in (await services.memories.search(query, caller)).found]
            rank = found.index(replay.lesson_id) + 1 if replay.lesson_id in found else None
            ranks.setdefault(kind, []).append(rank)
    return ranks


def share(ranks: Sequence[int | None], within: int) -> float:
    return sum(rank is not None and rank <= within for rank in ranks) / max(1, len(ranks))


def table(ranks: Mapping[str, Sequence[int | None]]) -> str:
    """Return the shares as Markdown, all questions together last."""
    lines = ["| question | asked | first | in the first three | in the first ten |", "| --- | --- | --- | --- | --- |"]
    everything = [rank for each in ranks.values() for rank in each]
    for name, each in [*ranks.items(), ("all", everything)]:
        shares = " | ".join(f"{share(each, within):.1%}" for within in (1, 3, 10))
        lines.append(f"| {name} | {len(each)} | {shares} |")
    return "\n".join(lines)


async def measure(count: int, seed: int) -> tuple[dict[str, list[int | None]], str]:
    """Return the ranks, and in words what was filled and how long it took."""
    with tempfile.TemporaryDirectory() as directory:
        sections = Sections(
            data_dir=Path(directory),
            trading=TradingSection(enabled=False),
            embedding=EmbeddingSection(allow_download=False),
        )
        async with open_services(sections, {}) as services:
            async with asyncio.timeout(INDEX_WAIT_S):
                while (await services.index.status()).state != "ready":
                    await asyncio.sleep(0.1)
            began_s = time.perf_counter()
            replays = await played(services, count, seed)
            async with asyncio.timeout(INDEX_WAIT_S):
                while await services.journal.backlog():
                    await asyncio.sleep(0.2)
            filled_s = time.perf_counter() - began_s
            memories = await services.journal.count(MemoryFilter())
            began_s = time.perf_counter()
            ranks = await asked(services, replays)
            took_ms = (time.perf_counter() - began_s) * 1_000 / (3 * count)
    return ranks, (
        f"{count} replays with {memories:,} memories, written and indexed in {filled_s:.0f} s; a question took "
        f"{took_ms:.0f} ms."
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=REPLAYS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    ranks, told = asyncio.run(measure(options.replays, options.seed))
    print(table(ranks))
    judged = [rank for kind in JUDGED for rank in ranks[kind]]
    reached = share(judged, 3) >= GOAL_TOP_3
    print(
        f"\n{told} The planted lesson of a losing trade is to be among the first three for {GOAL_TOP_3:.0%} of the "
        f"questions {' and '.join(JUDGED)}: {share(judged, 3):.1%}, {'met' if reached else 'not met'}."
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
