"""A TradingDesk in memory: one token at a price that a test sets, no fees. Honest about keys and previews."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import anyio
from tests.doubles import desk_logs
from tests.support.chat_server import assessment

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import IdempotencyConflict, InvalidInput, TradingUnavailable
from trading.runtime import families

SOL = 1_000_000_000
MINT = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
SYMBOL = "BONK"
DECIMALS = 5
TOKEN = 10**DECIMALS
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Trade:
    order_id: str
    trajectory_id: str
    side: str
    base_units: int
    lamports: int
    realised: int | None
    reason: str
    ts: datetime


@dataclass
class InMemoryDesk:
    """Every method answers from this state; ``advance`` ends a cycle, as a feed would."""

    cash: int = 2 * SOL
    base_units: int = 0
    cost: int = 0
    realised: int = 0
    deposits: int = 0
    target: int = 20 * SOL
    peak: int = 2 * SOL
    lamports_per_token: int = 1_000_000
    state: str = "ACTIVE"
    entries_allowed: bool = True
    cycle: int = 0
    away: str = ""
    """Why it gives no snapshot, "" while it does."""
    has_sidecar: bool = False
    trades_made: list[Trade] = field(default_factory=list)
    points: list[JsonObject] = field(default_factory=list)
    targets: list[tuple[str, str, int, int]] = field(default_factory=list)
    """(time, actor, before, after) of each that was set."""
    previews: dict[str, JsonObject] = field(default_factory=dict)
    answers: dict[str, JsonObject] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    """Where each candidate was promoted to."""
    levels: dict[str, str] = field(default_factory=dict)
    """The states of levels below the account, by their names, those that are not ACTIVE."""
    asked: dict[str, JsonObject] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.advance(0)

    @property
    def now(self) -> datetime:
        return START + timedelta(minutes=5 * self.cycle)

    @property
    def value(self) -> int:
        return self.base_units * self.lamports_per_token // TOKEN

    @property
    def equity_lamports(self) -> int:
        return self.cash + self.value

    def advance(self, cycles: int = 1) -> None:
        """End some cycles: time moves, equity is marked, readers of ``changes`` wake."""
        self.cycle += cycles
        self.peak = max(self.peak, self.equity_lamports)
        self.points.append(
            {
                "ts": self.now.isoformat(),
                "equity_lamports": self.equity_lamports,
                "drawdown_bps": self._drawdown_bps(),
                "sol_usd": "150",
            }
        )
        self._changed.set()
        self._changed = anyio.Event()

    async def snapshot(self) -> JsonObject:
        if self.away:
            raise TradingUnavailable(self.away)
        return self._context() | {
            "run_id": "paper-double",
            "ts": self.now.isoformat(),
            "cycle": self.cycle,
            "state": self.state,
            "state_reason": "as the operator said" if self.state != "ACTIVE" else "",
            "entries_allowed": self.entries_allowed,
            "profile": "foundation",
            "tier": "foundation",
            "equity": _amount(self.equity_lamports),
            "cash": _amount(self.cash),
            "start": _amount(2 * SOL),
            "peak": _amount(self.peak),
            "drawdown_bps": self._drawdown_bps(),
            "realised": _amount(self.realised),
            "unrealised": _amount(self.value - self.cost),
            "net_deposits": _amount(self.deposits),
            "time_weighted_return_bps": self.realised * 10_000 // (2 * SOL),
            "sol_usd": "150",
            "positions": self._positions(),
            "limits": [
                {
                    "name": "exposure_bps_max",
                    "scope": "desk",
                    "limit": 5_000,
                    "used": self.value * 10_000 // max(1, self.equity_lamports),
                    "unit": "bps",
                    "distance_bps": 5_000 - self.value * 10_000 // max(1, self.equity_lamports),
                }
            ],
            "costs": _costs(),
            "slippage_bps_mean": 0 if self.trades_made else None,
            "trades_total": len(self.trades_made),
            "signals_total": 3,
            "denials": {"pool_too_shallow": 2},
            "queues": {"memory": {"pending": 0, "oldest_s": 0.0, "dead": 0, "delivered": 4}},
            "compounding": {
                "target": _amount(self.target),
                "progress_bps": min(10_000, self.equity_lamports * 10_000 // self.target),
                "tier": "foundation",
                "next_tier": "acceleration",
                "next_tier_at": _amount(20 * SOL),
                "change_day": _amount(0),
                "change_week": None,
                "sparkline": [point["equity_lamports"] for point in self.points[-120:]],
            },
            "next_evaluation": (self.now + timedelta(minutes=5)).isoformat(),
        }

    async def metrics(self) -> JsonObject:
        if self.away:
            raise TradingUnavailable(self.away)
        fills = families.FILLS.told([(("manual", trade.side), 1) for trade in self.trades_made[:1]])
        return {
            "families": [
                families.EQUITY.told([((), self.equity_lamports)]),
                families.CYCLES.told([((), self.cycle)]),
                families.STATE.told([((state,), int(state == self.state)) for state in families.STATES]),
                fills,
            ]
        }

    async def trades(
        self, *, strategy: str | None, cursor: str | None, limit: int, wanted: JsonObject | None = None
    ) -> JsonObject:
        if not 1 <= limit <= 500:
            msg = f"limit: {limit} is not between 1 and 500"
            raise InvalidInput(msg, field="limit")
        if cursor is not None and not cursor.isdecimal():
            msg = f"cursor: {cursor!r} is not a next_cursor"
            raise InvalidInput(msg, field="cursor")
        start = int(cursor or 0)
        newest = list(reversed(self.trades_made)) if strategy in (None, "manual") else []
        newest = [trade for trade in newest if _is_wanted(trade, wanted or {})]
        views = [_trade_view(trade) for trade in newest]
        realised = [view["realised"]["lamports"] for view in views if view["realised"] is not None]
        page = newest[start : start + limit]
        more = len(newest) > start + limit
        return self._context() | {
            "trades": [_trade_view(trade) for trade in page],
            "next_cursor": str(start + limit) if more else None,
            "totals": {
                "trades": len(views),
                "won": sum(each > 0 for each in realised),
                "lost": sum(each <= 0 for each in realised),
                "realised": _amount(sum(realised)),
                "fees": _amount(
                    sum(view["costs"]["fee_lamports"] + view["costs"]["priority_lamports"] for view in views)
                ),
            },
        }

    async def candles(
        self, *, mint: str | None, since_ns: int | None, until_ns: int | None, interval_s: int | None
    ) -> JsonObject:
        """Five minutes of trade in each cycle but the second: a gap."""
        _require_known(mint)
        first, step = START, timedelta(minutes=5)
        opened = [first + step * cycle for cycle in range(self.cycle) if cycle != 1]
        made: list[JsonObject] = [
            {
                "ts": ts.isoformat(),
                "open": "0.001",
                "high": "0.0012",
                "low": "0.0009",
                "close": "0.0011" if ts.minute % 10 else "0.00095",
                "volume": "1500",
                "bars": 1,
            }
            for ts in opened
            if (since_ns is None or _ns_of(ts) >= since_ns) and (until_ns is None or _ns_of(ts) < until_ns)
        ]
        token: JsonObject = {
            "mint": MINT,
            "symbol": SYMBOL,
            "trades": len(self.trades_made),
            "is_held": bool(self.value),
        }
        named: JsonObject = {"mint": MINT, "symbol": SYMBOL, "interval_s": interval_s or 300, "tokens": [token]}
        return self._context() | named | {"candles": made[-1_000:], "is_cut": len(made) > 1_000}

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> JsonObject:
        def ns(point: JsonObject) -> int:
            return int(datetime.fromisoformat(str(point["ts"])).timestamp() * 1_000_000_000)

        kept: dict[int, JsonObject] = {}
        for number, point in enumerate(self.points):
            if (since_ns is None or ns(point) >= since_ns) and (until_ns is None or ns(point) < until_ns):
                bucket = number if resolution_s is None else ns(point) // (resolution_s * 1_000_000_000)
                kept[bucket] = point
        return self._context() | {"points": list(kept.values()), "resolution_s": resolution_s}

    async def projection(self) -> JsonObject:
        changes: list[Any] = [
            {"ts": at, "actor": actor, "reason": "r", "before": _amount(before), "after": _amount(after)}
            for at, actor, before, after in reversed(self.targets)
        ]
        return self._context() | {
            "start": _amount(2 * SOL),
            "equity": _amount(self.equity_lamports),
            "target": _amount(self.target),
            "path": [_amount(2 * SOL), _amount(20_000 * SOL)],
            "tiers": [
                {"name": name, "from_equity": _amount(sol * SOL)}
                for name, sol in (("foundation", 0), ("acceleration", 20), ("institutional", 2_000))
            ],
            "targets": changes,
            "since": START.isoformat(),
            "until": self.now.isoformat(),
            "basis": "hour",
            "returns": 0,
            "returns_needed": 168,
            "too_little": "too little history for a projection: 0.0 of 7 days",
            "method": "the past resampled, no promise",
            "paths": 2_000,
            "days_ahead": 0,
            "range": [],
            "reaches": [],
        }

    async def curve_marks(self, *, since_ns: int | None, until_ns: int | None) -> JsonObject:
        def is_within(ts: datetime) -> bool:
            at = int(ts.timestamp()) * 1_000_000_000
            return (since_ns is None or at >= since_ns) and (until_ns is None or at < until_ns)

        if since_ns is not None and until_ns is not None and since_ns >= until_ns:
            msg = "since is not before until"
            raise InvalidInput(msg, field="since")
        found = [trade for trade in self.trades_made if is_within(trade.ts)]
        marks: list[Any] = [
            {
                "ts": trade.ts.isoformat(),
                "kind": trade.side,
                "lamports": trade.lamports,
                "mint": MINT,
                "symbol": SYMBOL,
                "trajectory_id": trade.trajectory_id,
            }
            for trade in found
        ]
        sides = [trade.side for trade in found]
        totals: JsonObject = {"buy": sides.count("buy"), "sell": sides.count("sell"), "deposit": 0, "withdrawal": 0}
        return self._context() | {"marks": marks, "totals": totals, "is_cut": False}

    async def costs(self, *, days: int) -> JsonObject:
        if not 1 <= days <= 400:
            msg = f"days: 1 to 400, not {days}"
            raise InvalidInput(msg, field="days")
        return self._context() | {"costs": _costs(), "running": self._running(), "days": [_cost_day()][:days]}

    async def nodes(self) -> JsonObject:
        return self._context() | {"nodes": [desk_logs.node(await self.snapshot())]}

    async def arbitrage(self, *, part: str, cursor: str | None, limit: int) -> JsonObject:
        _require_page(cursor, limit)
        if part == "status":
            return self._context() | _arbitrage_off()
        msg = "arbitrage is off: no pair is configured"
        raise InvalidInput(msg, field="arbitrage.pairs")

    async def answer_arbitrage(self, request: JsonObject, *, actor: str) -> JsonObject:
        return await self.arbitrage(part="trips", cursor=None, limit=1)

    async def transactions(self, *, cursor: str | None, limit: int) -> JsonObject:
        _require_page(cursor, limit)
        found: list[JsonObject] = [desk_logs.transaction(each, MINT, SYMBOL) for each in reversed(self.trades_made)]
        return self._context() | {"transactions": list(found[:limit]), "next_cursor": None}

    async def profile_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        _require_page(cursor, limit)
        entries: list[Any] = [desk_logs.profile_entry(START.isoformat())]
        return self._context() | {"entries": entries, "next_cursor": None}

    async def sidecar_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        _require_page(cursor, limit)
        return self._context() | {"standing": desk_logs.SIDECAR, "entries": [], "next_cursor": None}

    def _running(self) -> JsonObject:
        total: JsonObject = {"usd": "4.2000", "is_complete": False, "unknown": ["rpc.example.com"]}
        counts: JsonObject = {"calls": 1_200, "credits": 2_400, "limited": 3, "failed": 1, "withheld": 2}
        return {
            "since": "2026-03-01",
            "until": "2026-03-02",
            "total": total,
            "today": {"usd": "2.1000", "is_complete": True, "unknown": []},
            "endpoints": [{"name": "rpc.example.com", **counts, "usd": None}],
            "plans": [{"name": "machine", "usd_a_month": "5.0000", "usd": "0.3288"}],
            "model": {"calls": 5, "tokens": 9_000, "usd": "0.0500"},
            "net": {
                "trading": _amount(self.realised),
                "on_chain": _amount(7),
                "running": _amount(28_000_000),
                "net": _amount(self.realised - 28_000_000),
                "is_complete": False,
                "unknown": ["rpc.example.com"],
            },
        }

    async def strategies(self) -> JsonObject:
        wins = sum(1 for trade in self.trades_made if (trade.realised or 0) > 0)
        return self._context() | {
            "strategies": [
                {
                    "name": "manual",
                    "kind": "manual",
                    "enabled": True,
                    "state": self.levels.get("strategy:manual", "ACTIVE"),
                    "parameters": {},
                    "bucket": "manual",
                    "capital": _amount(self.cash),
                    "trades": len(self.trades_made),
                    "wins": wins,
                    "realised": _amount(self.realised),
                    "unrealised": _amount(self.value - self.cost),
                    "win_rate_bps": None,
                    "last_signal": None,
                    "windows": [
                        {"days": 1, "trades": 0, "confidence": "no finished trade: nothing can be said"},
                        {
                            "days": 30,
                            "trades": 12,
                            "wins": 7,
                            "realised_lamports": 5,
                            "mean_return_bps": 41,
                            "low_bps": -120,
                            "high_bps": 202,
                            "confidence": "12 finished trades: a hint; chance alone can do this",
                        },
                    ],
                    "allocation": {
                        "weight_bps": 5_000,
                        "share_bps": 5_300,
                        "rotation": "fixed_share",
                        "target_bps": 6_100,
                    },
                }
            ],
            "outlook": {
                "forecasts_open": 1,
                "forecasts": [
                    {
                        "strategy": "manual",
                        "mint": MINT,
                        "symbol": SYMBOL,
                        "direction": "up",
                        "move_bps": 300,
                        "expected_bps": 120,
                        "confidence_bps": 5_250,
                        "due": self.now.isoformat(),
                        "reason": "a script says so",
                    }
                ],
                "calibration": [
                    {
                        "strategy": "manual",
                        "direction": "up",
                        "count": 40,
                        "hits": 22,
                        "hit_rate_bps": 5_500,
                        "mean_move_bps": 280,
                        "mean_realised_bps": 60,
                        "mean_error_bps": 220,
                        "brier_ppm": 248_000,
                        "bins": [{"count": 40, "hits": 22, "confidence_bps": 5_120}],
                    }
                ],
                "ranking": {
                    "ts": self.now.isoformat(),
                    "tokens": [{"mint": MINT, "symbol": SYMBOL, "volatility_day_bps": 1_234}],
                },
            },
        }

    async def candidates(self, *, limit: int) -> JsonObject:
        found: list[Any] = [self._candidate(f"cand_00000000000{end}") for end in "a0"]
        return self._context() | {"candidates": found[:limit], "total": len(found)}

    def _candidate(self, name: str) -> JsonObject:
        return {
            "id": name,
            "strategy": "momentum_breakout",
            "stage": self.stages.get(name, "candidate"),
            "proposed_at": START.isoformat(),
            "who": "search",
            "parent": "",
            "parameters": {"window_bars": 36},
            "released": False,
            "gates": [],
            "gates_stage": "",
            "gates_at": None,
        }

    async def strategy_digest(
        self, *, strategy: str | None, window: str, since_ns: int | None = None, until_ns: int | None = None
    ) -> JsonObject:
        if strategy not in (None, "manual"):
            msg = f"strategy: there is no strategy {strategy}; known: manual"
            raise InvalidInput(msg, field="strategy")
        if since_ns is not None and until_ns is not None and since_ns > until_ns:
            msg = f"since: {since_ns} ns is later than until, {until_ns} ns"
            raise InvalidInput(msg, field="since")
        is_open = since_ns is None and until_ns is None
        evidence: list[Any] = [trade.trajectory_id for trade in self.trades_made]
        said = "too few trades to say anything"
        figures: JsonObject = {
            "trades": len(self.trades_made),
            "wins": 0,
            "realised_lamports": self.realised,
            "mean_return_bps": 0,
            "low_bps": None,
            "high_bps": None,
            "confidence": said,
        }
        cell: JsonObject = {"regime": "calm/up", "tier": "foundation", **figures, "evidence": evidence[-3:]}
        strategies: JsonObject = {
            "name": "manual",
            **figures,
            "win_rate_bps": 0 if self.trades_made else None,
            "windows": [],
            "cells": [cell] if self.trades_made else [],
        }
        return self._context() | {
            "window": window if is_open else "range",
            "since": (START if since_ns is None else datetime.fromtimestamp(since_ns / 1e9, UTC)).isoformat(),
            "until": (self.now if until_ns is None else datetime.fromtimestamp(until_ns / 1e9, UTC)).isoformat(),
            "strategies": [strategies],
            "confidence": said,
            "evidence": evidence,
        }

    async def night(self, *, since_ns: int | None) -> JsonObject:
        now = datetime.now(UTC)
        since = now - timedelta(hours=12) if since_ns is None else datetime.fromtimestamp(since_ns / 1e9, UTC)
        return self._context() | {
            "since": since.isoformat(),
            "until": now.isoformat(),
            "equity_before": None,
            "equity": _amount(self.cash),
            "closed": 0,
            "wins": 0,
            "realised": _amount(self.realised),
            "trades": [],
            "denials": {},
            "happenings": [],
            "is_cut": False,
            "waiting": [],
        }

    async def answer_review(self, request: JsonObject, *, actor: str) -> JsonObject:
        msg = "item: nothing waits for such an answer where the money is paper"
        raise InvalidInput(msg, field="item")

    async def why(
        self,
        *,
        order_id: str | None,
        trajectory_id: str | None,
        mint: str | None,
        since_ns: int | None,
        until_ns: int | None = None,
    ) -> JsonObject:
        if since_ns is not None and until_ns is not None and since_ns > until_ns:
            msg = "since is later than until"
            raise InvalidInput(msg, field="since")
        if order_id is None and trajectory_id is None:
            funnel: JsonObject = {
                "seen": 9,
                "eligible": 3,
                "signalled": 2,
                "sized": 0,
                "approved": 0,
                "filled": 0,
                "denied": {"pool_too_shallow": 2},
                "feed_age_s": 0,
                "next_evaluation": (self.now + timedelta(minutes=5)).isoformat(),
            }
            miss: JsonObject = {"mint": MINT, "reason": "pool_too_shallow", "distance_bps": 120}
            return self._context() | {
                "summary": "2 signals, both denied: pool_too_shallow",
                "funnel": funnel,
                "nearest_miss": miss,
            }
        for trade in self.trades_made:
            if order_id in (None, trade.order_id) and trajectory_id in (None, trade.trajectory_id):
                step: JsonObject = {"ts": trade.ts.isoformat(), "order_id": trade.order_id, "figures": {}}
                return self._context() | {
                    "order_id": trade.order_id,
                    "trajectory_id": trade.trajectory_id,
                    "summary": f"{trade.side} because: {trade.reason}",
                    "chain": [
                        {"step": "signal", "text": trade.reason, **step},
                        {"step": "verdict", "text": "approved", **step},
                        {"step": "fill", "text": f"{trade.side} filled", **step, "lamports": trade.lamports},
                    ],
                }
        msg = f"there is no trade {order_id or trajectory_id}"
        raise InvalidInput(msg, field="order_id" if order_id else "trajectory_id")

    async def place_trade(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        self.calls.append(("place_trade", agent, key))
        if request["mint"] not in (MINT, SYMBOL):
            msg = f"mint: {request['mint']!r} is neither a mint nor a symbol here"
            raise InvalidInput(msg, field="mint")
        if request["mint"] == SYMBOL:
            candidate: JsonObject = {"mint": MINT, "symbol": SYMBOL, "liquidity_sol": "1500", "age_s": 86_400}
            return self._context() | {
                "status": "candidates",
                "message": f"{request['mint']} is not a mint; choose one and call again",
                "candidates": [candidate],
            }
        if (known := self.answers.get(f"{agent}/{key}")) is not None:
            return known
        lamports, base_units = self._size(request)
        if request["side"] == "buy" and (not self.entries_allowed or lamports > self.equity_lamports // 2):
            reason = "entries_stopped" if not self.entries_allowed else "exposure_bps_max"
            return self._context() | {
                "status": "denied",
                "message": f"denied: {reason}",
                "verdict": {"approved": False, "reason": reason},
            }
        return self._previewed_once(request, agent, key, str(request["side"]), lamports, base_units)

    async def close_position(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        self.calls.append(("close_position", agent, key))
        if (known := self.answers.get(f"{agent}/{key}")) is not None:
            return known
        if request["mint"] != MINT or self.base_units == 0:
            return self._context() | {"status": "denied", "message": f"there is no position in {request['mint']}"}
        base_units = self.base_units * int(str(request["percent"])) // 100
        return self._previewed_once(
            request, agent, key, "sell", base_units * self.lamports_per_token // TOKEN, base_units
        )

    async def rebalance(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        self.calls.append(("rebalance", agent, key))
        if (known := self.answers.get(f"{agent}/{key}")) is not None:
            return known
        legs = self._legs(request)
        refusal = self._take_preview(request, agent)
        if refusal is None:
            preview_id = self._keep_preview(request, agent)
            return self._context() | {
                "status": "preview",
                "message": "nothing moved yet",
                "preview_id": preview_id,
                "expires_at": (self.now + timedelta(minutes=1)).isoformat(),
                "legs": legs,
            }
        done = [leg | {"status": "done", "orders": self._traded(leg)} for leg in legs] if refusal == "done" else []
        answer = self._context() | {"status": refusal, "message": refusal, "legs": done, "cycle": self.cycle}
        if refusal == "done":
            self.answers[f"{agent}/{key}"] = answer
        return answer

    def _legs(self, request: JsonObject) -> list[Any]:
        """Return what is bought or sold of the one token, or the one move of cash."""
        if request["scope"] == "buckets":
            return [{"from": "momentum_breakout", "to": "manual", "lamports": SOL // 4, "sol": "0.25"}]
        weights: Any = request.get("weights_bps") or {}
        change = self.equity_lamports * weights.get(MINT, 0) // 10_000 - self.value
        leg = {"mint": MINT, "symbol": SYMBOL, "side": "buy" if change > 0 else "sell", "value": _amount(abs(change))}
        if change <= 0:
            return [leg | {"percent": -change * 100 // self.value}] if self.value else []
        return [leg | {"lamports": change, "would_be": "sent", "verdict": {"approved": True}}]

    def _traded(self, leg: JsonObject) -> list[Any]:
        if "side" not in leg:
            return []
        lamports = int(leg["value"]["lamports"])  # type: ignore[index,call-overload]
        base_units = lamports * TOKEN // self.lamports_per_token
        return [self._fill(str(leg["side"]), lamports, base_units, "rebalanced").order_id]

    async def answered(self, *, agent: str, key: str) -> JsonObject | None:
        """What was ordered counts as settled once a cycle has ended since."""
        found = self.answers.get(f"{agent}/{key}")
        if found is None or "cycle" not in found:
            return found
        is_open = self.cycle <= int(str(found["cycle"]))
        ordered: Any = found.get("order_ids") or []
        if ordered:
            said = {"status": "working", "message": "1 order is not settled"} if is_open else {"message": "filled"}
            return found | {"status": "done"} | said | {"order_id": ordered[0]}
        legs: Any = found.get("legs") or []
        outcome = {"outcome": "working", "told": "sent"} if is_open else {"outcome": "filled", "told": "0.1 SOL"}
        told = [leg | outcome if leg["orders"] else leg for leg in legs]
        return found | {"legs": told, "orders_open": sum(len(leg["orders"]) for leg in legs) if is_open else 0}

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        self.calls.append((f"control:{request['action']}", actor, key))
        asked = {name: value for name, value in request.items() if name != "reason" and value is not None}
        if self.asked.setdefault(f"{actor}/{key}", asked) != asked:
            msg = f"the key {key!r} was used before, for {self.asked[f'{actor}/{key}']}"
            raise IdempotencyConflict(msg, field="idempotency_key")
        if (known := self.answers.get(f"{actor}/{key}")) is not None:
            return known
        order_ids: list[Any] = []
        level = str(request.get("level") or "")
        match request["action"]:
            case "reduce_only" if level:
                self.levels[level], effect = "REDUCING", f"exposure of {level} can only shrink"
            case "resume" if level:
                self.levels.pop(level, None)
                effect = f"{level} may enter again"
            case "stop_entries":
                self.entries_allowed, effect = False, "positions stay and their exits go on"
            case "reduce_only":
                self.state, self.entries_allowed, effect = "REDUCING", False, "only sells from now on"
            case "flatten_and_halt":
                self.state, self.entries_allowed, effect = "HALTED", False, "every position is sold"
                order_ids = [self._fill("sell", self.value, self.base_units, str(request["reason"])).order_id]
            case "resume":
                self.state, self.entries_allowed, effect = "ACTIVE", True, "entries are allowed"
            case "close":
                part = self.base_units * int(str(request["percent"])) // 100
                effect = "sold"
                order_ids = [self._fill("sell", part * self.lamports_per_token // TOKEN, part, "close").order_id]
            case "deposit" | "withdraw" as action:
                moved = int(Decimal(str(request["amount_sol"])) * SOL) * (1 if action == "deposit" else -1)
                self.cash, self.deposits, effect = self.cash + moved, self.deposits + moved, f"{action} booked"
            case "target":
                before, self.target = self.target, int(Decimal(str(request["amount_sol"])) * SOL)
                self.targets.append((self.now.isoformat(), actor, before, self.target))
                effect = "target set"
            case "profile":
                effect = f"trades under {request['profile']} from now on"
            case "promote" | "demote":
                return self._promotion(request, f"{actor}/{key}")
            case action:
                msg = f"action: there is no action {action}"
                raise InvalidInput(msg, field="action")
        answer = self._context() | {
            "status": "done",
            "state": self.state,
            "entries_allowed": self.entries_allowed,
            "effect": effect,
            "order_ids": order_ids,
            "cycle": self.cycle,
        }
        self.answers[f"{actor}/{key}"] = answer
        return answer

    def _promotion(self, request: JsonObject, key: str) -> JsonObject:
        """A candidate whose id ends with 0 fails a gate."""
        is_poor = str(request.get("candidate", "")).endswith("0")
        gate = {"name": "trades", "value": 7 if is_poor else 70, "bound": 30, "unit": "trades", "is_floor": True}
        gates: list[Any] = [gate | {"passed": not is_poor, "sample": 7, "note": ""}]
        answer = self._context() | {
            "status": "denied" if is_poor else "checked" if request.get("dry_run") else "done",
            "state": self.state,
            "entries_allowed": self.entries_allowed,
            "effect": "a gate was not passed" if is_poor else "open positions stay",
            "candidate": request.get("candidate", ""),
            "strategy": request.get("strategy", "momentum_breakout"),
            "stage": request.get("stage", "paper"),
            "gates": gates if request["action"] == "promote" else [],
        }
        if answer["status"] == "done" and request["action"] == "promote":
            self.stages[str(request["candidate"])] = str(request.get("stage") or "paper")
        if answer["status"] != "checked":
            self.answers[key] = answer
        return answer

    async def assess(self, request: JsonObject, *, agent: str) -> JsonObject:
        self.calls.append(("assess", agent, str(request["id"])))
        if not self.has_sidecar:
            msg = "no sidecar is configured, so nobody can be asked"
            raise TradingUnavailable(msg)
        evidence = request["evidence"]
        assert isinstance(evidence, list)
        return {
            "schema_version": 1,
            "id": request["id"],
            "model": "a-model",
            "assessment": assessment({"evidence": evidence}),
            "usage": {"tokens_in": 5, "tokens_out": 1, "cost_micro_usd": 9, "latency_ms": 3, "is_cached": False},
        }

    async def changes(self) -> AsyncIterator[JsonObject]:
        while True:
            changed = self._changed
            await changed.wait()
            yield await self.snapshot()

    def _previewed_once(
        self, request: JsonObject, agent: str, key: str, side: str, lamports: int, base_units: int
    ) -> JsonObject:
        status = self._take_preview(request, agent)
        if status is None:
            return self._context() | {
                "status": "preview",
                "message": "nothing traded yet",
                "preview_id": self._keep_preview(request, agent),
                "expires_at": (self.now + timedelta(minutes=1)).isoformat(),
                "quote": {"lamports": lamports, "base_units": str(base_units)},
                "costs": _costs(),
                "verdict": {"approved": True},
            }
        if status != "done":
            return self._context() | {"status": status, "message": f"the preview is {status}: preview again"}
        trade = self._fill(side, lamports, base_units, str(request["reason"]))
        answer = self._context() | {
            "status": "done",
            "message": f"{side} {base_units} base units for {lamports} lamports",
            "order_id": trade.order_id,
            "trajectory_id": trade.trajectory_id,
            "fill": {"lamports": lamports, "base_units": str(base_units)},
        }
        self.answers[f"{agent}/{key}"] = answer
        return answer

    def _take_preview(self, request: JsonObject, agent: str) -> str | None:
        preview_id = request.get("preview_id")
        if preview_id is None:
            return None
        shown = self.previews.get(str(preview_id))
        if shown is None:
            return "expired"
        if shown != _bound(request, agent):
            return "stale"
        del self.previews[str(preview_id)]
        return "done"

    def _keep_preview(self, request: JsonObject, agent: str) -> str:
        preview_id = f"pre_{len(self.previews) + len(self.answers) + self.cycle}"
        self.previews[preview_id] = _bound(request, agent)
        return preview_id

    def _size(self, request: JsonObject) -> tuple[int, int]:
        if request.get("amount_sol") is not None:
            lamports = int(Decimal(str(request["amount_sol"])) * SOL)
            return lamports, lamports * TOKEN // self.lamports_per_token
        base_units = int(Decimal(str(request["amount_token"])) * TOKEN)
        return base_units * self.lamports_per_token // TOKEN, base_units

    def _fill(self, side: str, lamports: int, base_units: int, reason: str) -> Trade:
        realised = None
        if side == "buy":
            self.cash, self.base_units, self.cost = (
                self.cash - lamports,
                self.base_units + base_units,
                self.cost + lamports,
            )
        else:
            share = self.cost * base_units // self.base_units if self.base_units else 0
            realised = lamports - share
            self.cash, self.base_units, self.cost = (
                self.cash + lamports,
                self.base_units - base_units,
                self.cost - share,
            )
            self.realised += realised
        number = len(self.trades_made) + 1
        trade = Trade(f"ord-{number}", f"trade-{number}", side, base_units, lamports, realised, reason, self.now)
        self.trades_made.append(trade)
        return trade

    def _positions(self) -> list[Any]:
        if self.base_units == 0:
            return []
        gain = self.value - self.cost
        return [
            {
                "mint": MINT,
                "symbol": SYMBOL,
                "bucket": "manual",
                "strategy": "manual",
                "amount_base_units": str(self.base_units),
                "decimals": DECIMALS,
                "amount": str(Decimal(self.base_units).scaleb(-DECIMALS)),
                "cost": _amount(self.cost),
                "value": _amount(self.value),
                "unrealised": _amount(gain),
                "unrealised_bps": gain * 10_000 // max(1, self.cost),
                "average_price_sol": "0.001",
                "mark_price_sol": str(Decimal(self.lamports_per_token) / SOL),
                "opened_at": self.now.isoformat(),
                "trajectory_id": self.trades_made[-1].trajectory_id if self.trades_made else "trj-0",
            }
        ]

    def _drawdown_bps(self) -> int:
        return max(0, (self.peak - self.equity_lamports) * 10_000 // max(1, self.peak))

    def _context(self) -> JsonObject:
        return {
            "money": "paper",
            "feed": {
                "kind": "synthetic",
                "detail": "in-memory double",
                "age_s": 1.5,
                "stale": False,
                "last_event": self.now.isoformat(),
            },
        }


def _require_page(cursor: str | None, limit: int) -> None:
    if cursor is not None and not cursor.isdecimal():
        msg = f"cursor: {cursor!r} is none that this desk gave"
        raise InvalidInput(msg, field="cursor")
    if not 1 <= limit <= 200:
        msg = f"limit: 1 to 200, not {limit}"
        raise InvalidInput(msg, field="limit")


def _bound(request: JsonObject, agent: str) -> JsonObject:
    return {**{name: value for name, value in request.items() if name != "preview_id"}, "agent": agent}


def _amount(lamports: int) -> JsonObject:
    sol = Decimal(lamports) / SOL
    return {"lamports": lamports, "sol": f"{sol:f}", "usd": f"{sol * 150:.2f}"}


def _costs() -> JsonObject:
    return {
        "fee_lamports": 0,
        "impact_lamports": 0,
        "priority_lamports": 0,
        "failed_lamports": 0,
        "rent_lamports": 0,
    }


def _require_known(mint: str | None) -> None:
    if mint not in (None, MINT, SYMBOL):
        msg = f"mint: {mint!r} is unknown among the 1 tokens of this feed"
        raise InvalidInput(msg, field="mint")


def _ns_of(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


def _is_wanted(trade: Trade, wanted: JsonObject) -> bool:
    _require_known(wanted.get("mint"))
    result = None if trade.realised is None else "won" if trade.realised > 0 else "lost"
    since_ns, until_ns = wanted.get("since_ns"), wanted.get("until_ns")
    return (
        wanted.get("side") in (None, trade.side)
        and wanted.get("result") in (None, result)
        and wanted.get("origin") in (None, "agent")
        and (since_ns is None or _ns_of(trade.ts) >= since_ns)
        and (until_ns is None or _ns_of(trade.ts) < until_ns)
    )


def _trade_view(trade: Trade) -> JsonObject:
    return {
        "order_id": trade.order_id,
        "trajectory_id": trade.trajectory_id,
        "ts": trade.ts.isoformat(),
        "side": trade.side,
        "mint": MINT,
        "symbol": SYMBOL,
        "strategy": "manual",
        "bucket": "manual",
        "amount": str(Decimal(trade.base_units).scaleb(-DECIMALS)),
        "amount_base_units": str(trade.base_units),
        "value": _amount(trade.lamports),
        "price_sol": "0.001",
        "costs": _costs(),
        "slippage_bps": 0,
        "realised": None if trade.realised is None else _amount(trade.realised),
        "reason": trade.reason,
    }


def _arbitrage_off() -> JsonObject:
    limits: JsonObject = dict.fromkeys(("size_max", "day_loss_max", "day_result"), _amount(0))
    state: JsonObject = {"arbitrage_money": "paper", "state": "off", "problem": "", "halted": ""}
    return state | limits | {"trips_open": 0, "open_max": 1, "venues": [], "by_hand": [], "day": []}


def _cost_day() -> JsonObject:
    figures: JsonObject = {"calls": 600, "credits": 1_200, "limited": 2, "model_calls": 5, "model_tokens": 9_000}
    money: JsonObject = {"model_usd": "0.0500", "usd": "2.1000", "is_complete": True, "unknown": []}
    return {"day": "2026-03-02", **figures, **money}
