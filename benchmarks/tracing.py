"""What telling a receiver of traces costs: the trading loop, and each decision: ``python -m benchmarks.tracing``.

The loop: the same desk on the same generated market at the same pace, its memory in a real journal, with nobody told of
it and with Langfuse's sink beside it whose receiver (a process of its own) is up, down, slow, hanging, busy, broken or
picky. A decision begins when the feed hands over a cycle and ends when the kernel has decided it. The runs take turns.

A decision: processor time of this process for its mapping, encoding and queueing, beside the peer: the SDK of Langfuse
making the same spans.
"""

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import anyio
from tests.doubles.clocks import SystemClock
from tests.support import sidecar_desk
from tests.support.decisions import STEPS, decisions
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.tracing import to_langfuse

from benchmarks.sidecar import MEDIAN_MAX, NOBODY, P99_MAX, SPEED, WARM_UP, Taps, p99
from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.tracing.sinks import LangfuseSink
from memmcp_server.adapters.tracing.wiring import trace_sinks
from memmcp_server.adapters.trading_desk import JournalMemory
from memmcp_server.config import JournalSection, RelaySection
from memmcp_server.daemon.turns import take_short_turns
from memmcp_server.domain.outbox import SinkSpec
from memmcp_server.ports import Journal, JournalCommand, RemoteSink
from memmcp_server.services.relay import Relay

OVERHEAD_US_MAX: Final = 300.0
ROUNDS: Final = 5
CYCLES: Final = 280
OFF: Final = "off"
FAULTS: Final = ("up", "down", "slow", "hanging", "busy", "broken", "picky")
DECISIONS: Final = 2_000
LANGFUSE: Final = SinkSpec("langfuse")


@asynccontextmanager
async def remembering(folder: Path, url: str) -> AsyncIterator[Journal]:
    """Open a journal, with the sink and its relay where there is an address to tell."""
    clock, scanner = SystemClock(), RuleScanner()
    folder = folder / "memory"  # the desk's journal has the same name
    folder.mkdir()
    sections = to_langfuse(folder, url or NOBODY, timeout_s=1.0).model_copy(update={"relay": RelaySection()})
    async with AsyncExitStack() as stack:
        named = (LANGFUSE,) if url else ()
        journal = await stack.enter_async_context(open_journal(JournalSection(), folder, clock, sinks=named))
        if url:
            sinks = trace_sinks(sections, journal, scanner)
            for sink in sinks:
                assert isinstance(sink, RemoteSink)
                stack.push_async_callback(sink.close)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(Relay(journal, sinks, clock, sections.relay).run)
            stack.callback(tasks.cancel_scope.cancel)
        yield journal


async def one_run(folder: Path, url: str, cycles: int) -> tuple[list[float], str]:
    """Return the latencies of a run in milliseconds, and what became of what was to be told."""
    taps, scanner = Taps(), RuleScanner()
    scanner.load()
    sidecar_desk.CYCLES = cycles
    async with remembering(folder, url) as journal:
        memory: Any = JournalMemory(journal, scanner)
        with taps.on():
            async with sidecar_desk.opened(folder, sidecar_desk.sections(speed=SPEED), memory) as desk:
                await sidecar_desk.ended(desk, within_s=120)
        stats = (await journal.outbox_stats()).get(LANGFUSE.name)
    told = "-" if stats is None else f"{stats.delivered} told, {stats.pending} wait, {stats.dead} dead"
    return [each * 1_000 for each in taps.latencies_s[WARM_UP:]], told


@contextmanager
def served(name: str) -> Iterator[str]:
    """Run the receiver of a variant in a process of its own; yields its address, "" for none."""
    if name in (OFF, "down"):
        yield "" if name == OFF else NOBODY
        return
    command = [sys.executable, "-m", "benchmarks.tracing", "--serve", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def serve(name: str) -> None:
    """Serve until the process is killed."""
    fault: Any = "" if name == "up" else name
    receiver = OtlpReceiver(fault=fault, slow_s=0.4, refused={"trading.ranking"}, retry_after="1")
    async with receiver.serving() as url:
        print(url, flush=True)
        await anyio.sleep_forever()


def the_loop(rounds: int, cycles: int) -> bool:
    """Print the table of the loop; return whether the goal is met."""
    names = (OFF, *FAULTS)
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    came: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:  # not counted: what is loaded at first use is loaded by now
        anyio.run(one_run, Path(folder), NOBODY, WARM_UP + 20)
    for number in range(rounds):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            with tempfile.TemporaryDirectory() as folder, served(name) as url:
                latencies, came[name] = anyio.run(one_run, Path(folder), url, cycles)
            found[name].append(latencies)
    off = [statistics.median(each) for each in found[OFF]]
    base = p99(list(chain.from_iterable(found[OFF])))
    print("| receiver | decisions | median | p99 | median to off | p99 to off | at the end |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    is_met = True
    for name, by_round in found.items():
        values = list(chain.from_iterable(by_round))
        middle, high = statistics.median(values), p99(values)
        paired = statistics.median(statistics.median(one) / other for one, other in zip(by_round, off, strict=True))
        is_met = is_met and (name == OFF or (paired <= MEDIAN_MAX and high / base <= P99_MAX))
        print(
            f"| {name} | {len(values)} | {middle:.2f} ms | {high:.2f} ms | {paired:.2f} | {high / base:.2f} "
            f"| {came[name]} |"
        )
    print(f"\n{rounds} rounds in turns, from the feed's hand-over to the kernel's decision, a cycle each 20 ms.")
    print("The ratio of medians is the middle one of the rounds, each to the run that tells nobody in the same round.")
    goal = f"Goal: median at most {MEDIAN_MAX:.2f} times, p99 at most {P99_MAX:.1f} times"
    print(f"{goal}, {'' if is_met else 'not '}met.\n")
    return is_met


async def of_one_decision(folder: Path, trade_every: int) -> dict[str, float]:
    """Return microseconds of processor time that each decision takes, by what takes them."""
    work = [list(each) for each in decisions(0, DECISIONS, trade_every=trade_every)]
    plain = await committing(folder / "plain", (), work)
    queued = await committing(folder / "queued", (LANGFUSE,), work)
    sections = to_langfuse(folder / "queued", NOBODY)
    encoding: list[float] = []
    taking = 0.0
    async with open_journal(JournalSection(), folder / "queued", SystemClock(), sinks=(LANGFUSE,)) as journal:
        [sink] = trace_sinks(sections, journal, RuleScanner())
        assert isinstance(sink, LangfuseSink)
        while True:
            began_s = time.process_time()
            due = await journal.outbox_due(LANGFUSE.name, now_ns=time.time_ns(), limit=sink.batch_len_max)
            if not due:
                break
            await journal.outbox_delivered([entry.id for entry in due])
            taking += time.process_time() - began_s
            versions = await journal.all_versions(list(dict.fromkeys(entry.memory_id for entry in due)))
            began_s = time.process_time()
            sink._encoded(due, versions)
            encoding.append((time.process_time() - began_s) / len(due))
    entries = sum(map(len, work)) / DECISIONS
    return {
        "map and encode": statistics.median(encoding) * entries * 1e6,
        "queue": (max(0.0, queued - plain) + taking) / DECISIONS * 1e6,
    }


async def committing(folder: Path, sinks: Sequence[SinkSpec], work: Sequence[list[JournalCommand]]) -> float:
    """Return the seconds of processor time for writing the decisions to a fresh journal."""
    folder.mkdir()
    async with open_journal(JournalSection(), folder, SystemClock(), sinks=sinks) as journal:
        began_s = time.process_time()
        for start in range(0, len(work), 20):
            await journal.commit(list(chain.from_iterable(work[start : start + 20])))
        return time.process_time() - began_s


class NoExporter:
    """Takes spans and does nothing, so that only their making is measured."""

    def export(self, _spans: Any) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return timeout_millis >= 0


def of_the_sdk(trades: int) -> float:
    """Return the microseconds of processor time in which Langfuse's SDK makes the spans of a trade."""
    from langfuse import Langfuse
    from opentelemetry.sdk.trace import TracerProvider

    logging.getLogger("langfuse").setLevel(logging.ERROR)
    exporter: Any = NoExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    sdk = Langfuse(public_key="pk", secret_key="sk", base_url=NOBODY, tracer_provider=provider, span_exporter=exporter)
    text, told = "the close is above the high of the last 48 bars, volume is high " * 2, {"mint": "m", "bucket": "core"}
    taken: list[float] = []
    for _ in range(trades):
        began_s = time.process_time()
        with sdk.start_as_current_observation(name="trade", as_type="agent", input=text) as root:
            for step in STEPS:
                with root.start_as_current_observation(name=step, as_type="span", metadata=told) as span:
                    span.update(output=text)
            root.update(output=text)
        taken.append(time.process_time() - began_s)
    provider.shutdown()
    return statistics.median(taken) * 1e6


def one_decision(rounds: int) -> bool:
    """Print the table of a decision; return whether the goal is met."""
    print("| what | memories | map and encode | queue | both | a decision | Langfuse's SDK, the same spans alone |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    sdk = of_the_sdk(500)
    is_met = True
    # A trade is two decisions, to get in and to get out, each with signal, verdict, order and fill.
    kinds = (("a signal not acted on", DECISIONS + 1, 1, 1), ("a whole trade", 1, len(STEPS) + 2, 2))
    for name, trade_every, memories, made in kinds:
        by_round: list[dict[str, float]] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                by_round.append(anyio.run(of_one_decision, Path(folder), trade_every))
        mapped, queued = (statistics.median(found[each] for found in by_round) for each in ("map and encode", "queue"))
        both = statistics.median(sum(found.values()) for found in by_round)
        is_met = is_met and both / made <= OVERHEAD_US_MAX
        peer = f"{sdk:.0f} us" if made > 1 else "-"
        told = f"{mapped:.0f} us | {queued:.0f} us | {both:.0f} us | {both / made:.0f} us"
        print(f"| {name} | {memories} | {told} | {peer} |")
    print(f"\nProcessor time of the daemon, {DECISIONS} of each a round, medians of {rounds} rounds.")
    print("Queue: what an entry more costs a commit, and taking it out of the outbox again.")
    print("A trade is two decisions: to get in and to get out, each with signal, verdict, order and fill.")
    print(f"Goal: at most {OVERHEAD_US_MAX:.0f} us a decision, {'' if is_met else 'not '}met.")
    return is_met


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.tracing")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--only", choices=("loop", "decision"))
    parser.add_argument("--serve", choices=FAULTS)
    given = parser.parse_args(argv)
    if given.serve:
        anyio.run(serve, given.serve)
        return 0
    take_short_turns()  # as a daemon does
    is_met = given.only == "loop" or one_decision(given.rounds)
    print()
    is_met = (given.only == "decision" or the_loop(given.rounds, given.cycles)) and is_met
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
