"""``data``: bars of public sources, fetched, listed and checked."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.text import Text

from trading.cli.client import data_dir_of
from trading.cli.console import EXIT_FAILED, err, exit_code, fail, listing, out, print_json, reporting
from trading.cli.options import JsonFlag, instant_ns
from trading.errors import InvalidInput
from trading.model.units import NS_PER_S

if TYPE_CHECKING:
    from trading.config import Sections
    from trading.ports import BarSource
    from trading.runtime.bar_fetching import FetchReport, FetchWish

SHOWN_MAX = 15
GECKO: Final = "gecko"
SYMBOLS_MAX: Final = 200

BarsDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Bars lie in its folder bars (default: MEMMCP_DATA_DIR, else the platform's user data folder).",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(help="Bars of public sources: fetch, list and check them.", no_args_is_help=True)
    commands.command("fetch")(fetch)
    commands.command("list")(list_)
    commands.command("check")(check)
    commands.callback()(_group)
    app.add_typer(commands, name="data")


def _group() -> None:
    """Bars of public sources: fetch, list and check them before a run rests on them."""


def fetch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="gecko (Solana pools), or an exchange as ccxt calls it: binance, kraken, okx ..."
        ),
    ],
    symbols: Annotated[
        list[str],
        typer.Argument(metavar="SYMBOL...", help="Pairs such as BONK/USDT; with gecko the addresses of pools."),
    ],
    interval: Annotated[str, typer.Option("--interval", help="Length of a bar: 1m, 5m, 15m, 1h, 4h, 1d.")] = "5m",
    since: Annotated[
        str | None,
        typer.Option("--since", help="First bar, an ISO date or time. Default: go on where the file stops."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="End, an ISO date or time. Default: now.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="spot or swap (perpetual), for an exchange.")] = "spot",
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Another host that speaks the source's API, such as a mirror.")
    ] = None,
    data_dir: BarsDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch closed bars to Parquet files, go on where they stop, and never rewrite what is stored.

    The newest stored bars are asked for again: one that the source tells otherwise now is reported, and exit code is 1.
    """
    with reporting(as_json=as_json):
        import anyio

        from trading.feeds.bar_files import interval_seconds
        from trading.runtime.bar_fetching import FetchWish
        from trading.settings import load

        interval_s, market = interval_seconds(interval), _kind(kind)
        since_ns, until_ns = instant_ns("since", since), instant_ns("until", until)
        if len(symbols) > SYMBOLS_MAX:
            msg = f"symbol: {len(symbols)} were given; at most {SYMBOLS_MAX} at once"
            raise InvalidInput(msg, field="symbol")
        wish = FetchWish(
            data_dir_of(data_dir),
            None if since_ns is None else since_ns // NS_PER_S,
            None if until_ns is None else until_ns // NS_PER_S,
        )
        opener = _Opener(source, interval_s, market, base_url, load(os.environ))
        reports = anyio.run(_fetched, opener, symbols, wish)
    _show_fetched(reports, as_json=as_json)


class _Opener:
    """Opens the source of one symbol after the other."""

    def __init__(
        self, source: str, interval_s: int, kind: Literal["spot", "swap"], base_url: str | None, sections: "Sections"
    ) -> None:
        self._source = source
        self._interval_s = interval_s
        self._kind = kind
        self._base_url = base_url
        self.sections = sections

    @asynccontextmanager
    async def open(self, symbol: str) -> "AsyncIterator[BarSource]":
        from trading.runtime.clock import WallClock

        clock, section = WallClock(), self.sections.market
        if self._source == GECKO:
            from trading.adapters.gecko_bars import GeckoBars

            if self._base_url is not None:
                section = section.model_copy(update={"gecko_url": self._base_url})
            async with GeckoBars.connect(section, clock, symbol, self._interval_s) as gecko:
                yield gecko
            return
        from trading.adapters.ccxt_bars import CcxtBars, CcxtWish

        wish = CcxtWish(self._source, symbol, self._interval_s, self._kind, self._base_url)
        async with CcxtBars.connect(wish, self.sections.fetch, clock) as exchange:
            yield exchange


async def _fetched(opener: _Opener, symbols: Sequence[str], wish: "FetchWish") -> "list[FetchReport]":
    """Fetch one symbol after the other; the first trouble ends it, and what had come is stored."""
    from trading.runtime.bar_fetching import again_and_again
    from trading.runtime.bar_fetching import fetch as fetch_bars

    section = opener.sections.fetch
    reports: list[FetchReport] = []
    for symbol in dict.fromkeys(symbols):
        async with AsyncExitStack() as stack:
            opening = partial(_entered, stack, opener, symbol)
            reports.append(await fetch_bars(await again_and_again(opening, section), wish, section))
        if reports[-1].trouble is not None:
            break
    return reports


async def _entered(stack: AsyncExitStack, opener: _Opener, symbol: str) -> "BarSource":
    return await stack.enter_async_context(opener.open(symbol))


def _kind(text: str) -> Literal["spot", "swap"]:
    if text == "spot":
        return "spot"
    if text == "swap":
        return "swap"
    msg = f"kind is {text[:20]!r}; allowed: spot, swap"
    raise InvalidInput(msg, field="kind")


def _show_fetched(reports: "Sequence[FetchReport]", *, as_json: bool) -> None:
    trouble = next((each.trouble for each in reports if each.trouble is not None), None)
    if as_json:
        print_json({"files": [report.document() for report in reports]})
    else:
        console = out()
        columns = ("symbol", "rows", "new", "compared", "changed", "refused", "missing", "first", "last", "file")
        documents = [report.document() for report in reports]
        rows = [
            (
                each["symbol"],
                f"{each['rows_before'] + each['rows_new']:,}",
                f"{each['rows_new']:,}",
                f"{each['rows_compared']:,}",
                str(each["changed_total"]),
                ", ".join(f"{count} {why}" for why, count in each["refused"].items()) or "none",
                f"{each['bars_missing']:,}",
                each["first"] or "-",
                each["last"] or "-",
                each["path"],
            )
            for each in documents
        ]
        console.print(listing("Fetched", columns, rows))
        for each in documents:
            for change in each["changed"][:SHOWN_MAX]:
                text = f"{each['symbol']} {change['ts']}: stored {change['stored']}, now {change['received']}"
                console.print(Text(f"changed: {text}; the file keeps what it had"))
    if trouble is not None:
        if not as_json:
            fail(trouble)
        raise typer.Exit(exit_code(trouble))
    if not all(report.is_clean for report in reports):
        raise typer.Exit(EXIT_FAILED)


def list_(data_dir: BarsDir = None, as_json: JsonFlag = False) -> None:
    """List the bars that were fetched: source, symbol, interval, range, rows and gaps."""
    from trading.feeds.bar_files import interval_text
    from trading.feeds.bar_store import list_stored
    from trading.runtime.documents import iso

    with reporting(as_json=as_json):
        stored, damaged = list_stored(data_dir_of(data_dir))
    documents = [
        {
            "path": str(each.path),
            "source": each.market.source,
            "kind": each.market.kind,
            "symbol": each.market.symbol,
            "mint": each.market.mint or None,
            "interval": interval_text(each.market.interval_s),
            "rows": each.rows,
            "first": iso(each.first_s * NS_PER_S),
            "last": iso(each.last_s * NS_PER_S),
            "gaps": each.gaps,
            "bars_missing": each.bars_missing,
            "fetched": iso(each.fetched_s * NS_PER_S),
            "rows_sha256": each.rows_sha256,
        }
        for each in stored
    ]
    if as_json:
        print_json({"files": documents, "damaged": [error.message for error in damaged]})
    else:
        _show_listed(documents)
        for error in damaged:
            err().print(Text(f"damaged: {error.message}; {error.hint}"))
    if damaged:
        raise typer.Exit(EXIT_FAILED)


def _show_listed(documents: Sequence[Mapping[str, Any]]) -> None:
    columns = ("source", "kind", "symbol", "interval", "rows", "first", "last", "gaps", "bars_missing", "path")
    out().print(listing("Bars", columns, [[str(each[name]) for name in columns] for each in documents]))


def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Bar files or folders of them.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Count what is merely odd as wrong: wild closes, bars without volume.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check bar files: gaps, duplicates, disorder, impossible prices, outliers, time zones. Exit code 1: something is
    wrong."""
    from trading.feeds.quality import check_files

    with reporting(as_json=as_json):
        reports = check_files(paths)
    if as_json:
        print_json({"files": [report.document() for report in reports]})
    else:
        console = out()
        rows = [
            (
                report.name,
                "yes" if report.is_usable else "NO",
                "yes" if report.is_clean else "NO",
                f"{report.rows:,}",
                "-" if report.interval_s is None else f"{report.interval_s} s",
                f"{report.bars_missing:,}",
                ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts.items())) or "none",
            )
            for report in reports
        ]
        columns = ("file", "usable", "clean", "rows", "interval", "missing", "findings")
        console.print(listing("Bar files", columns, rows))
        for report in reports:
            if report.findings:
                shown = [(str(found.row), found.severity, found.message[:120]) for found in report.findings[:SHOWN_MAX]]
                console.print(listing(report.name, ("row", "severity", "what"), shown))
    if not all(report.is_clean and not (strict and report.odd) for report in reports):
        raise typer.Exit(EXIT_FAILED)
