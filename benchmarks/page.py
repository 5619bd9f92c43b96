"""How fast the page is: the drawing of a tick, the first figure after a cold load, the size of what is loaded.

The built page in Chromium, over a real server on loopback. The equity history has 5,000 points, and 10 updates a
second come over the stream, each a snapshot with other figures and one more point. What is timed is the callback that
draws a frame and what it leaves to be done at its end (the curves), by wrapping ``requestAnimationFrame`` from outside:
the page has no hook of its own. Only frames that drew a new snapshot count. Layout, style and all else that the page's
thread did is beside it, as the browser itself counts it. The floor, in the same run: the two curves alone, made by the
same library from the same points on an empty page, without any other figure. Cold loads are of a real daemon with a
desk, each in a browser of its own. Goals: a tick of at most 4 ms at the median, the first figure of equity within one
second at the median of five cold loads, a bundle of at most 150 kB gzipped.
"""

import argparse
import gzip
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, Playwright, sync_playwright
from tests.browser.conftest import ARGUMENTS, DESKTOP, browser_path
from tests.support import page_documents as documents
from tests.support.agents import data_directory, environment, http_client, until
from tests.support.daemons import served
from tests.support.page_server import STATIC, Stage, full_stage, serving, sse

from benchmarks.soak import is_trading

POINTS = 5_000
HZ = 10
SECONDS = 30
LOADS = 5
TICK_GOAL_MS = 4.0
PAINT_GOAL_MS = 1_000.0
BUNDLE_GOAL_BYTES = 150_000
WAIT_MS = 60_000
BUNDLE = ("app.js", "app.css", "index.html")
UPLOT = STATIC.parent / "ui" / "node_modules" / "uplot" / "dist" / "uPlot.iife.min.js"
DESK = {"MEMMCP_TRADING__ENABLED": "true", "TRADING_PAPER__SPEED": "3000"}

WATCH = """(() => {
  const ask = window.requestAnimationFrame.bind(window);
  const at = (id) => document.getElementById(id)?.textContent ?? "";
  const seen = (window.measured = { ticks: [], firstMs: null });
  const isFigure = (text) => /\\d SOL$/.test(text);
  window.requestAnimationFrame = (act) => ask((nowMs) => {
    const before = at("trading-meta");
    const beganMs = performance.now();
    act(nowMs);
    // Behind what the drawing has put off until the end of this turn.
    queueMicrotask(() => {
      const tookMs = performance.now() - beganMs;
      if (at("trading-meta") !== before) seen.ticks.push(tookMs);
      if (seen.firstMs === null && isFigure(at("equity-sol"))) {
        seen.firstMs = 0;
        ask(() => setTimeout(() => { seen.firstMs = performance.now(); }, 0)); // painted by then
      }
    });
  });
})();"""

FLOOR = """async ([ts, equity, drawdown, hz, seconds]) => {
  const plot = (height, values) => {
    const place = document.body.appendChild(document.createElement("div"));
    const axes = [{ show: height < 200 }, { size: 64 }];
    const series = [{}, { stroke: "#2dd4bf", fill: "#2dd4bf22", width: 1.6, points: { show: false } }];
    return new uPlot({ width: 900, height, axes, series, legend: { show: false } }, [ts, values], place);
  };
  const [upper, lower] = [plot(230, equity), plot(130, drawdown)];
  const took = [];
  for (let at = 0; at < hz * seconds; at += 1) {
    await new Promise((done) => setTimeout(done, 1000 / hz));
    await new Promise((done) => requestAnimationFrame(() => {
      const beganMs = performance.now();
      ts.push(ts.at(-1) + 60);
      equity.push(equity.at(-1) * (1 + 0.001 * Math.sin(at)));
      drawdown.push(drawdown.at(-1));
      upper.setData([ts, equity]);
      lower.setData([ts, drawdown]);
      queueMicrotask(() => { took.push(performance.now() - beganMs); done(); });
    }));
  }
  return took;
}"""


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


@dataclass
class Ticks:
    """Milliseconds of each tick's drawing, and how busy the page's thread was for each update, by what it did."""

    took: list[float]
    updates: int
    thread: dict[str, float]

    @property
    def median(self) -> float:
        return statistics.median(self.took)


@contextmanager
def browsing(playwright: Playwright) -> Iterator[Browser]:
    with closing(playwright.chromium.launch(executable_path=browser_path(), args=list(ARGUMENTS))) as browser:
        yield browser


@contextmanager
def paging(browser: Browser) -> Iterator[Page]:
    with closing(browser.new_context(viewport=DESKTOP, color_scheme="dark")) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        yield page


def thread_of(session: CDPSession) -> dict[str, float]:
    """Return the seconds that the page's own thread has worked so far, by the browser's own count."""
    told = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {name: told[name] for name in ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")}


def staged(points: int) -> Stage:
    stage = full_stage()
    stage.answer("/telemetry/trading/history", documents.series(points))
    first = documents.snapshot(points)
    stage.answer("/telemetry/trading", first)
    stage.greeting = [sse("trading", first), sse("metrics", documents.metrics())]
    return stage


def ticks(browser: Browser, points: int, hz: int, seconds: float) -> Ticks:
    count = int(hz * seconds)
    updates = [documents.snapshot(points + number) for number in range(1, count + 1)]
    with serving(staged(points)) as stage, paging(browser) as page:
        page.add_init_script(WATCH)
        page.goto(stage.url)
        page.locator("#panel-equity[data-state=ready] canvas").first.wait_for()
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        before = thread_of(session)
        page.evaluate("() => { measured.ticks.length = 0; }")
        sender = threading.Thread(target=send, args=(stage, updates, hz), daemon=True)
        sender.start()
        while sender.is_alive():
            page.wait_for_timeout(200)
        newest = updates[-1]["cycle"]
        page.get_by_text(f"cycle {newest:,}".replace(",", "\u202f")).wait_for()
        took: list[float] = page.evaluate("() => measured.ticks")
        after = thread_of(session)
        spent = {name: (after[name] - before[name]) * 1_000 / count for name in after}
    return Ticks(took, count, spent)


def send(stage: Stage, updates: Sequence[dict[str, Any]], hz: int) -> None:
    """Send the snapshots evenly, and beside them what a busy daemon says: its figures and two memories a second."""
    began_s = time.monotonic()
    for number, update in enumerate(updates):
        time.sleep(max(0.0, began_s + number / hz - time.monotonic()))
        stage.push("trading", update)
        if number % hz == 0:
            second = number // hz
            stage.push("metrics", documents.metrics(second))
            for seq in (6_000 + 2 * second, 6_001 + 2 * second):
                stage.push("memory", documents.memory(seq, f"Signal: BONK momentum 0.{seq}"), seq)


def floor(browser: Browser, points: int, hz: int, seconds: float) -> Ticks:
    series = documents.series(points)["points"]
    began_s = documents.START.timestamp()
    columns = [
        [began_s + 60 * step for step in range(points)],
        [point["equity_lamports"] / 1e9 for point in series],
        [-point["drawdown_bps"] / 100 for point in series],
    ]
    with paging(browser) as page:
        page.add_script_tag(path=UPLOT)
        took: list[float] = page.evaluate(FLOOR, [*columns, hz, seconds])
    return Ticks(took, len(took), {})


def first_paint_ms(playwright: Playwright, url: str) -> float:
    """Return how long after the beginning of the load the first figure of equity was painted, nothing being cached."""
    with browsing(playwright) as browser, paging(browser) as page:
        page.add_init_script(WATCH)
        page.goto(url)
        page.locator("#panel-trading[data-state=ready]").wait_for()
        until(lambda: page.evaluate("() => measured.firstMs") or 0, 30)
        found: float = page.evaluate("() => measured.firstMs")
        return found


def cold_loads(playwright: Playwright, loads: int) -> list[float]:
    options = ("--feed", "synthetic:7")
    with data_directory() as data_dir, served(data_dir, *options, environ=environment(DESK)):
        until(lambda: is_trading(data_dir), 120)
        url = str(http_client(data_dir).record["http"])
        return [first_paint_ms(playwright, url) for _ in range(loads)]


def bundle_bytes() -> dict[str, tuple[int, int]]:
    """Return the size of each file that a load fetches, as it is and gzipped."""
    files = {name: (STATIC / name).read_bytes() for name in BUNDLE}
    return {name: (len(content), len(gzip.compress(content, 9, mtime=0))) for name, content in files.items()}


def table(page: Ticks, alone: Ticks, points: int, hz: int, loads: Sequence[float]) -> bool:
    """Print the table; return whether every goal is met."""
    sizes = bundle_bytes()
    packed = sum(size for _, size in sizes.values())
    each = ", ".join(f"{name} {raw / 1_000:.0f} / {small / 1_000:.0f}" for name, (raw, small) in sizes.items())
    print("| what | figure | goal |\n| --- | --- | --- |")
    print(f"| a tick of the page, {points:,} points, {hz} a second ({len(page.took)} of them), median | ", end="")
    print(f"{page.median:.1f} ms | {TICK_GOAL_MS:g} ms |")
    print(f"| the same, p99 / longest | {p99(page.took):.1f} / {max(page.took):.1f} ms | |")
    print(f"| floor: its two curves alone, median | {alone.median:.1f} ms | |")
    print(f"| the same, p99 / longest | {p99(alone.took):.1f} / {max(alone.took):.1f} ms | |")
    spent = page.thread
    print(f"| all work of the page's thread, mean of an update | {spent['TaskDuration']:.1f} ms | |")
    print(f"| of it scripts (parsing included) | {spent['ScriptDuration']:.1f} ms | |")
    print(f"| of it style and layout | {spent['RecalcStyleDuration'] + spent['LayoutDuration']:.1f} ms | |")
    paint = statistics.median(loads)
    print(f"| first figure of equity, {len(loads)} cold loads, median | {paint:.0f} ms | {PAINT_GOAL_MS:.0f} ms |")
    print(f"| the same, slowest | {max(loads):.0f} ms | |")
    print(f"| the bundle, gzipped | {packed / 1_000:.1f} kB | {BUNDLE_GOAL_BYTES / 1_000:.0f} kB |")
    print(f"\nkB of each file, as it is / gzipped: {each}.")
    return page.median <= TICK_GOAL_MS and paint <= PAINT_GOAL_MS and packed <= BUNDLE_GOAL_BYTES


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--hz", type=int, default=HZ, help="Updates a second.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--loads", type=int, default=LOADS)
    parser.add_argument("--json", action="store_true", help="Print each tick instead of the table.")
    given = parser.parse_args(arguments)
    with sync_playwright() as playwright:
        with browsing(playwright) as browser:
            page = ticks(browser, given.points, given.hz, given.seconds)
            if given.json:
                print(json.dumps({"ticks_ms": page.took, "thread_ms": page.thread}))
                return 0
            alone = floor(browser, given.points, given.hz, given.seconds)
        is_met = table(page, alone, given.points, given.hz, cold_loads(playwright, given.loads))
    print(f"Goals: {'all met' if is_met else 'not all met'}.")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
