"""What every source of past bars promises: the test body, GeckoTerminal and an exchange through ccxt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import ccxt
import pytest
from starlette.requests import Request
from starlette.responses import Response
from tests.doubles.scripted_bars import ScriptedBars
from tests.support.exchange_server import ExchangeServer
from tests.support.market_server import FakePool, MarketServer, SteppedClock, address, eventually, hanging, html, status

from trading.adapters.ccxt_bars import CcxtBars, CcxtWish, _called
from trading.adapters.gecko_bars import GeckoBars
from trading.config import FetchSection
from trading.errors import FeedUnavailable, InvalidInput
from trading.feeds.bar_rows import parse_row
from trading.ports import BarSource

pytestmark = [pytest.mark.requirement("T1")]

NOW_S = 1_790_000_100
POOL = FakePool(address("PooFrog"), address("Frog"), "FROG")
BODIES = ("scripted", "gecko", "ccxt")


class Trial:
    """A source, and how to make its next page fail."""

    def __init__(self, source: BarSource, server: MarketServer | ExchangeServer | ScriptedBars) -> None:
        self.source = source
        self._server = server
        self.release = anyio.Event()
        """Set, a silent server gives up its silence."""

    def fail_once(self, how: str) -> None:
        if isinstance(self._server, ScriptedBars):
            self._server.failures.append(7.0 if how == "busy" else 0.0)
            return
        name = "ohlcv" if isinstance(self._server, MarketServer) else "klines"
        answers = {"busy": status(429, retry_after="7"), "down": status(503), "page": html(), "cut": cut}
        answers["silent"] = hanging(self.release)
        self._server.faults[name].append(answers[how])

    def set_back(self, seconds: int) -> None:
        """Let the source's clock go after ours."""
        if isinstance(self._server, ScriptedBars):
            self._server.clock.advance(-seconds)
        else:
            self._server.skew_s = -seconds


async def cut(request: Request) -> Response:
    """The beginning of an answer, as after a lost connection."""
    return Response(b'[[1790000000000,"0.1","0.1', media_type="application/json")


@asynccontextmanager
async def opened(body: str, timeout_s: float = 20.0) -> AsyncIterator[Trial]:
    clock = SteppedClock(NOW_S)
    if body == "scripted":
        scripted = ScriptedBars(clock, first_s=NOW_S - 86_400)
        yield Trial(scripted, scripted)
    elif body == "gecko":
        async with (
            MarketServer.serving(clock, [POOL]) as market,
            GeckoBars.connect(market.section(timeout_s=timeout_s), clock, POOL.address, 300) as gecko,
        ):
            yield Trial(gecko, market)
    else:
        wish = CcxtWish("binance", "BONK/USDT", 300)
        async with ExchangeServer.serving(clock, NOW_S - 86_400) as exchange:
            mirrored = CcxtWish(wish.exchange, wish.symbol, 300, base_url=exchange.url)
            async with CcxtBars.connect(mirrored, FetchSection(timeout_s=timeout_s), clock) as pairs:
                yield Trial(pairs, exchange)


@pytest.mark.anyio
@pytest.mark.parametrize("body", BODIES)
async def test_a_page_holds_bars_from_the_asked_time_on_that_replay_would_take(body: str) -> None:
    from_s = (NOW_S - 7_200) // 300 * 300
    async with opened(body) as trial:
        rows = await trial.source.page(from_s)
    opens = {parse_row("bars", row).ts_s for row in rows}
    assert {from_s, from_s + 300, from_s + 600} <= opens
    assert len(rows) <= trial.source.page_bars
    assert all(type(each) is str for row in rows for each in row[1:])


@pytest.mark.anyio
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("how", ["busy", "down", "page", "cut", "silent"])
async def test_a_failing_source_is_unavailable_and_answers_the_same_question_later(body: str, how: str) -> None:
    from_s = (NOW_S - 3_600) // 300 * 300
    # Silence alone is ended by the time-out; all else has the time that a busy machine takes.
    async with opened(body, 1.0 if how == "silent" else 20.0) as trial:
        trial.fail_once(how)
        with pytest.raises(FeedUnavailable):
            await trial.source.page(from_s)
        trial.release.set()
        assert (trial.source.away_s > 6) is (how == "busy")
        if how != "busy":
            await eventually(lambda: trial.source.away_s == 0)
            assert await trial.source.page(from_s)


@pytest.mark.anyio
@pytest.mark.parametrize("body", BODIES)
async def test_time_is_the_source_s_own(body: str) -> None:
    async with opened(body) as trial:
        trial.set_back(120)
        await trial.source.page(NOW_S // 300 * 300 - 3_000)
        assert abs(trial.source.now_s() - (NOW_S - 120)) <= 1


def test_everything_that_ccxt_raises_is_translated() -> None:
    found = [each for each in vars(ccxt).values() if isinstance(each, type) and issubclass(each, ccxt.BaseError)]
    assert len(found) > 20
    for error in found:
        with pytest.raises((FeedUnavailable, InvalidInput)):
            _called(partial(_raise, error("as ccxt words it")))
    with pytest.raises(FeedUnavailable):
        _called(partial(_raise, ccxt.RateLimitExceeded("slow down")))
    with pytest.raises(InvalidInput):
        _called(partial(_raise, ccxt.BadSymbol("no such pair")))


def _raise(error: Exception) -> None:
    raise error
