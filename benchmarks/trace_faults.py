"""10,000 whole trades through every fault of a receiver, and how long a daemon takes to end beside each of them:
``python -m benchmarks.trace_faults`` (``make tracing``).

Trades are written to a real journal while the receiver is
down, slow, busy, broken, hanging, picky, and then well. Afterwards each trade has to be there once and whole. Then real
daemons are told to end while their receiver is in each of these states.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import anyio
from tests.support.agents import environment, http_client
from tests.support.daemons import served
from tests.support.decisions import SPANS_OF_A_TRADE, note
from tests.support.market_server import eventually
from tests.support.otlp_receiver import PUBLIC_KEY, SECRET_KEY, TROUBLES, OtlpReceiver, free_port, serving_apart
from tests.support.tracing import relaying, to_langfuse, write

DECISIONS: Final = 10_000
END_S_MAX: Final = 3.0
OFF: Final = "off"
"""A daemon that tells nobody, to compare with."""
SCORES_OF_A_TRADE: Final = 5


async def through_faults(count: int) -> tuple[bool, str]:
    """Return whether every trade arrived once and whole, and the figures."""
    port, receiver = free_port(), OtlpReceiver(refused={"trading.odd"})
    stretch = count // (len(TROUBLES) + 3)
    with tempfile.TemporaryDirectory() as folder:
        async with relaying(to_langfuse(Path(folder), f"http://127.0.0.1:{port}", timeout_s=2.0)) as (journal, relay):
            began_s = time.monotonic()
            await write(journal, 0, stretch, 1)  # nobody listens
            async with receiver.serving(port):
                for number, fault in enumerate(TROUBLES, 1):
                    receiver.fault = fault
                    await write(journal, number * stretch, stretch, 1)
                    await eventually(lambda met=fault: receiver.met[met] > 0)  # type: ignore[misc]
                receiver.fault = "picky"
                await journal.commit([note("odd", count + each, f"odd {each}") for each in range(3)])
                written = (len(TROUBLES) + 1) * stretch
                await write(journal, written, count - written, 1)
                await eventually(lambda: receiver.met["picky"] > 0)
                receiver.fault = ""
                up_s = time.monotonic()
                arrived = await relay.drain(600)
                await journal.outbox_retry(None)
                relay.wake()
                arrived = await relay.drain(60) and arrived
                took_s, caught_up_s = time.monotonic() - began_s, time.monotonic() - up_s
    traces = receiver.traces()
    whole = sum(len(spans) == SPANS_OF_A_TRADE for spans in traces.values())
    is_met = (
        arrived and len(traces) == count + 3 and whole == count and len(receiver.scores) == count * SCORES_OF_A_TRADE
    )
    told = (
        f"{count} trades written and told in {took_s:.0f} s ({caught_up_s:.0f} s of it since the receiver was well): "
        f"{len(traces) - 3} traces, {whole} whole, {len(receiver.spans)} spans, {len(receiver.scores)} scores"
    )
    return is_met, told


def time_to_end(fault: str) -> float:
    """Return the seconds in which a daemon ends whose receiver is in that state, with spans and memories to tell."""
    port = free_port()
    given = {
        "MEMMCP_LANGFUSE__PUBLIC_KEY": PUBLIC_KEY,
        "MEMMCP_LANGFUSE__SECRET_KEY": SECRET_KEY,
        "MEMMCP_LANGFUSE__BASE_URL": f"http://127.0.0.1:{port}",
        "MEMMCP_LANGFUSE__TIMEOUT_S": "60",
    }
    environ = environment({} if fault == OFF else given)
    with (
        tempfile.TemporaryDirectory() as folder,
        _receiver(fault, port),
        served(Path(folder) / "data", environ=environ) as daemon,
    ):
        client = http_client(Path(folder) / "data")
        for number in range(50):
            client.post("/memory/write", {"content": f"what is to be told, number {number}"})
        time.sleep(2.0)  # so that a request is under way
        began_s = time.monotonic()
        daemon.terminate()
        daemon.wait(60)
        return time.monotonic() - began_s


def _receiver(fault: str, port: int) -> AbstractContextManager[object]:
    if fault in (OFF, "down"):
        return nullcontext()
    state: Any = "" if fault == "up" else fault
    return serving_apart(OtlpReceiver(fault=state, slow_s=30.0, retry_after="60"), port)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.trace_faults")
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    given = parser.parse_args(argv)
    ends = {fault: time_to_end(fault) for fault in (OFF, "up", "down", "slow", "hanging", "busy", "broken")}
    shown = ", ".join(f"{fault} {taken_s:.1f}" for fault, taken_s in ends.items())
    print(f"seconds to end, by the state of the receiver: {shown}")
    is_met, told = anyio.run(through_faults, given.decisions)
    longest_s = max(ends.values())
    is_met = is_met and longest_s <= END_S_MAX
    print(f"{told}; the slowest end {longest_s:.1f} s (at most {END_S_MAX:.0f}): {'all' if is_met else 'not all'} met")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
