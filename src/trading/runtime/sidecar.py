"""The sidecar as the desk's tasks ask it: behind a breaker, a day's budget and a cache, and never raising.

It runs in the event loop, beside the kernel's thread, and has no way to it: what it returns is handed in by others.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from trading.adapters.assess_bridge import AssessBridge
from trading.adapters.openai_bridge import OpenAiBridge
from trading.adapters.sidecar_http import SidecarHttp
from trading.adapters.spend_file import SpendFile
from trading.config import SidecarSection
from trading.errors import SidecarFault
from trading.model.advice import ANSWERED, Exchange
from trading.model.units import BPS_ONE
from trading.sidecar.adviser import Adviser, Reply
from trading.sidecar.assessment import AssessmentRequest, advice_of, plain
from trading.sidecar.breaker import Breaker, BreakerRules, BreakerState
from trading.sidecar.budget import Budget, DayLimits, Prices, SpendStore

from .clock import WallClock

CACHED_MAX: Final = 256
AT_ONCE_MAX: Final = 2
QUESTION_KEPT: Final = 400
"""So much of a question is written down with its answer."""
DETAIL_MAX: Final = 200

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Cached:
    exchange: Exchange
    until_s: float


@dataclass(frozen=True, slots=True)
class _Came:
    """What a question came to: a reply or a fault, and what it took."""

    reply: Reply | None
    fault: SidecarFault | None
    tokens: tuple[int, int]
    cost_micro_usd: int
    latency_ms: int


class Sidecar:
    """Asks ``adviser``; at most ``AT_ONCE_MAX`` questions at a time, further ones wait their turn."""

    def __init__(
        self,
        adviser: Adviser,
        section: SidecarSection,
        store: SpendStore,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._adviser = adviser
        self._section = section
        self._store = store
        self._now_ns = now_ns
        self._monotonic_s = monotonic_s
        self._breaker = Breaker(BreakerRules(section.failures_max, section.open_s, section.open_s_max))
        self._budget: Budget | None = None
        self._cache: dict[str, _Cached] = {}
        self._turns = anyio.Semaphore(AT_ONCE_MAX)
        self._keeping = anyio.Lock()
        self.outcomes: Counter[str] = Counter()
        """How many questions came to what since the start: answered, cached, or the fault."""
        self.spent: Counter[str] = Counter()
        """Tokens (``in``, ``out``) and micro-USD (``micro_usd``) since the start."""
        self.last_fault = ""

    @property
    def model(self) -> str:
        return self._adviser.model

    @property
    def is_resting(self) -> bool:
        """Whether nobody would be asked just now, because it failed too often."""
        return self._breaker.state(self._monotonic_s()) is BreakerState.OPEN

    async def ask(self, request: AssessmentRequest, asked_ns: int) -> Exchange:
        """Return what came of a question; a fault is an exchange too. ``asked_ns``: the asker's time, which the answer
        expires by."""
        kept = self._cache.get(request.digest())
        if kept is not None and self._monotonic_s() < kept.until_s:
            self.outcomes["cached"] += 1
            return _again(kept.exchange, request, asked_ns)
        async with self._turns:
            came = await self._asked(request)
        self.outcomes[came.fault.reason if came.fault else ANSWERED] += 1
        exchange = self._exchange(request, asked_ns, came)
        if came.fault is not None:
            self.last_fault = f"{came.fault.reason}: {came.fault.message}"[:DETAIL_MAX]
        elif self._section.cache_s and came.reply is not None:
            good_s = min(self._section.cache_s, float(came.reply.assessment.expires_in_s))
            self._remember(request.digest(), _Cached(exchange, self._monotonic_s() + good_s))
        return exchange

    async def _asked(self, request: AssessmentRequest) -> _Came:
        began_s = self._monotonic_s()
        if not self._breaker.allows(began_s):
            msg = "it failed too often just now and is left alone for a while"
            return _Came(None, SidecarFault(msg, reason="breaker_open"), (0, 0), 0, 0)
        is_settled = False
        try:
            came = await self._paid(request, began_s)
            is_settled = True
        finally:
            if not is_settled:
                self._breaker.gave_up()
        if came.fault is None:
            self._breaker.succeeded()
        elif came.fault.reason in ("budget", "disk"):
            self._breaker.gave_up()
        else:
            self._breaker.failed(self._monotonic_s(), came.fault.away_s)
        return came

    async def _paid(self, request: AssessmentRequest, began_s: float) -> _Came:
        """Take the most that it can cost from the day, ask, and put what it did cost in its place."""
        most = self._adviser.size_of(request)
        try:
            budget = await self._opened()
            reserved = budget.reserve(self._now_ns(), *most)
            if reserved is None:
                msg = "the day's budget is used up"
                return _Came(None, SidecarFault(msg, reason="budget"), (0, 0), 0, 0)
            await self._keep(budget)
        except OSError as error:
            logger.warning("the sidecar's budget cannot be kept, so nothing is asked: %s", error)
            return _Came(None, SidecarFault("its budget cannot be kept", reason="disk"), (0, 0), 0, 0)
        reply, fault = None, None
        try:
            with anyio.fail_after(self._section.timeout_s):
                reply = await self._adviser.assess(request)
        except SidecarFault as error:
            fault = error
        except TimeoutError:
            fault = SidecarFault(f"no answer within {self._section.timeout_s:g} s", reason="timeout")
        latency_ms = int((self._monotonic_s() - began_s) * 1_000)
        told = fault.tokens if fault is not None else None
        if reply is not None and reply.tokens_in is not None and reply.tokens_out is not None:
            told = reply.tokens_in, reply.tokens_out
        tokens = told or most
        cost = budget.settle(reserved, *tokens)
        self.spent.update({"in": tokens[0], "out": tokens[1], "micro_usd": cost})
        try:
            await self._keep(budget)
        except OSError as error:  # what stands on disk is the reservation, which is more
            logger.warning("what the sidecar has spent is not written down: %s", error)
        return _Came(reply, fault, tokens, cost, latency_ms)

    async def _opened(self) -> Budget:
        async with self._keeping:
            if self._budget is None:
                section = self._section
                spent = await anyio.to_thread.run_sync(self._store.load)
                limits = (section.calls_per_day_max, section.tokens_per_day_max, section.micro_usd_per_day_max)
                prices = Prices(section.price_in_micro_usd, section.price_out_micro_usd)
                self._budget = Budget(DayLimits(*limits), prices, spent)
            return self._budget

    async def _keep(self, budget: Budget) -> None:
        async with self._keeping:
            await anyio.to_thread.run_sync(self._store.save, budget.spent)

    def _remember(self, digest: str, cached: _Cached) -> None:
        self._cache.pop(digest, None)
        if len(self._cache) >= CACHED_MAX:
            del self._cache[next(iter(self._cache))]
        self._cache[digest] = cached

    def _exchange(self, request: AssessmentRequest, asked_ns: int, came: _Came) -> Exchange:
        reply, fault = came.reply, came.fault
        return Exchange(
            id=request.id,
            kind=request.kind,
            mint=request.mint,
            symbol=plain(request.symbol, 64),
            strategy=request.strategy,
            asked_ns=asked_ns,
            question=plain(request.question, QUESTION_KEPT),
            evidence=request.evidence_ids,
            outcome=ANSWERED if fault is None else fault.reason,
            detail="" if fault is None else fault.message[:DETAIL_MAX],
            latency_ms=came.latency_ms,
            tokens_in=came.tokens[0],
            tokens_out=came.tokens[1],
            cost_micro_usd=came.cost_micro_usd,
            is_cached=False,
            advice=None if reply is None else advice_of(reply.assessment, request, self.model, asked_ns),
        )

    def left_bps(self) -> int:
        """Return what the day has left, of the scarcest of its bounds."""
        section = self._section
        if self._budget is None:
            return BPS_ONE
        left = self._budget.left(self._now_ns())
        bounds = (
            (left.calls, section.calls_per_day_max),
            (left.tokens, section.tokens_per_day_max),
            (left.micro_usd, section.micro_usd_per_day_max),
        )
        return min(BPS_ONE * now // most if most else BPS_ONE for now, most in bounds)

    def status(self) -> Mapping[str, Any]:
        """Return wire.SidecarStatus as far as it is known here."""
        budget = self._budget
        left = None if budget is None else budget.left(self._now_ns())
        return {
            "kind": self._section.kind,
            "model": self.model,
            "breaker": self._breaker.state(self._monotonic_s()).value,
            "outcomes": dict(sorted(self.outcomes.items())),
            "last_fault": self.last_fault,
            "calls_left": self._section.calls_per_day_max if left is None else left.calls,
            "tokens_left": self._section.tokens_per_day_max if left is None else left.tokens,
            "micro_usd_left": self._section.micro_usd_per_day_max if left is None else left.micro_usd,
        }


def _again(exchange: Exchange, request: AssessmentRequest, asked_ns: int) -> Exchange:
    """Return an earlier answer as one to this question: it cost nothing, and it expires when it would have."""
    return replace(
        exchange,
        id=request.id,
        asked_ns=asked_ns,
        latency_ms=0,
        tokens_in=0,
        tokens_out=0,
        cost_micro_usd=0,
        is_cached=True,
    )


@asynccontextmanager
async def opened_sidecar(section: SidecarSection, data_dir: Path) -> AsyncIterator[Sidecar | None]:
    """Open what the section names; None where it names nothing. No connection is made before the first question."""
    if not section.is_on:
        yield None
        return
    http = SidecarHttp(section, WallClock())
    try:
        adviser: Adviser = OpenAiBridge(section, http) if section.kind == "openai" else AssessBridge(section, http)
        yield Sidecar(adviser, section, SpendFile(data_dir))
    finally:
        with anyio.CancelScope(shield=True):
            await http.close()
