"""The desk's present, as documents: snapshot, positions, limits, strategies. Read in the loop's thread."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trading.engine.exposures import exposures
from trading.engine.kernel import Kernel
from trading.engine.trader import MANUAL
from trading.engine.valuation import Valuation
from trading.model.account import Level
from trading.model.event_codec import encode_record
from trading.model.order import Measure
from trading.model.position import Position
from trading.model.tier import next_tier, tier_bounds
from trading.model.units import BPS_ONE, NS_PER_S, ratio_bps
from trading.risk.limits import lock_measure
from trading.risk.sizing import kelly_fraction_bps
from trading.strategies.registry import module_of

from .documents import Document, amount, costs_of_totals, iso, plain, price_sol, tokens
from .naming import public_id
from .situations import standing
from .strategy_digest import allocation, windows_of

DAY_NS = 86_400 * NS_PER_S
STARTING = "starting: waiting for the first event of the feed"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a snapshot says beside the kernel's own state: context (money, feed), queues, bar interval, and the
    wall time, which stands for the market's until the market has said something."""

    context: Document
    queues: Document
    interval_s: int
    has_ended: bool
    wall_ns: int


def snapshot(kernel: Kernel, around: Surroundings) -> Document:
    """Return wire.TradingSnapshot."""
    state, ledger = kernel.state, kernel.state.ledger
    valuation = kernel.valuer.value()
    usd = state.sol_usd
    held = positions(kernel, valuation)
    unrealised = sum(each["unrealised"]["lamports"] for each in held)
    is_starting = state.now_ns == 0
    reason = STARTING if is_starting else "the recorded feed has ended" if around.has_ended else state.state_reason
    due_ns = None if around.has_ended or is_starting else state.now_ns + around.interval_s * NS_PER_S
    return {
        **around.context,
        "schema_version": 1,
        "desk_id": "local",
        "run_id": kernel.setup.run_id,
        "ts": iso(around.wall_ns if is_starting else state.now_ns),
        "cycle": kernel.cycles,
        "engine": "xavier",
        "state": state.trading_state.value,
        "state_reason": reason,
        "entries_allowed": state.entries_allowed,
        "profile": state.profile.name,
        "tier": state.tier.name,
        "equity": amount(valuation.equity_lamports, usd),
        # The deposits of token accounts come back when a token is sold, so they are shown as cash.
        "cash": amount(ledger.cash_lamports + ledger.rent_lamports, usd),
        "start": amount(state.start_lamports, usd),
        "peak": amount(state.curve.peak_lamports, usd),
        "drawdown_bps": state.curve.drawdown_bps,
        "realised": amount(ledger.realised_lamports - ledger.costs.failed_lamports, usd),
        "unrealised": amount(unrealised, usd),
        "net_deposits": amount(ledger.net_deposits_lamports, usd),
        "time_weighted_return_bps": state.curve.time_weighted_return_bps,
        "sol_usd": None if usd is None else plain(usd),
        "positions": held,
        "limits": limits(kernel, valuation),
        "exposure": exposure(kernel, valuation),
        "costs": costs_of_totals(ledger.costs),
        "slippage_bps_mean": state.slippage_bps_mean,
        "trades_total": state.fills_total,
        "signals_total": state.signals_total,
        "denials": dict(sorted(state.denials.items())),
        "queues": around.queues,
        "compounding": compounding(kernel, valuation),
        "next_evaluation": None if due_ns is None else iso(due_ns),
        "zone": state.zone,
        "sidecar": sidecar(kernel),
        **({} if state.wallets is None else {"wallets": wallets(kernel, valuation)}),
    }


def sidecar(kernel: Kernel) -> Document:
    """Return wire.SidecarView: what the profile lets advice do, and how that of each model came out."""
    book, rules = kernel.state.advice, kernel.state.profile.advice
    return {
        "weight_bps_max": rules.weight_bps_max,
        "received": dict(sorted(book.outcomes_seen.items())),
        "records": [
            {
                "model": model,
                "kind": kind,
                "count": record.count,
                "hit_rate_bps": record.hit_rate_bps,
                "base_hit_rate_bps": record.base_hit_rate_bps,
                "brier_ppm": record.brier_ppm,
                "base_brier_ppm": record.base_brier_ppm,
                "skill_bps": record.skill_bps,
                "weight_bps": record.weight_bps(rules),
            }
            for (model, kind), record in sorted(book.calibrations.items())
        ],
    }


def wallets(kernel: Kernel, valuation: Valuation) -> list[Document]:
    """Return wire.WalletView for each wallet of a desk that has several."""
    state, routing = kernel.state, kernel.valuer.routing
    book = state.wallets
    found: list[Document] = []
    for name, wallet in {} if book is None else book.wallets.items():
        level = state.levels.held_wallet(name)
        found.append(
            {
                "name": name,
                "state": "ACTIVE" if level is None else level.state.value,
                "problem": wallet.problem or ("" if level is None else level.reason),
                "role": "exit" if wallet.terms.is_exit_only else "trade",
                "buckets": list(wallet.terms.buckets),
                "cash": amount(wallet.lamports, state.sol_usd),
                "reserved": amount(routing.reserved_lamports(name), state.sol_usd),
                "reserve": amount(routing.reserve_lamports(name), state.sol_usd),
                "tokens": amount(kernel.valuer.wallet_tokens_lamports(name, valuation), state.sol_usd),
                "base_units": {mint: str(units) for mint, units in wallet.units.items()},
            }
        )
    return found


def positions(kernel: Kernel, valuation: Valuation) -> list[Document]:
    """Return wire.PositionView for every open position, at liquidation value."""
    return [_position(kernel, position, valuation) for position in kernel.state.ledger.positions()]


def _position(kernel: Kernel, position: Position, valuation: Valuation) -> Document:
    usd = kernel.state.sol_usd
    instrument = kernel.valuer.instruments[position.mint]
    value = kernel.valuer.position_lamports(position, valuation)
    bar = kernel.venue.mark(position.mint)
    unrealised = position.unrealised_lamports(value)
    return {
        "mint": position.mint,
        "symbol": instrument.symbol,
        "bucket": position.bucket,
        "strategy": position.strategy,
        "amount_base_units": str(position.base_units),
        "decimals": instrument.decimals,
        "amount": tokens(position.base_units, instrument.decimals),
        "cost": amount(position.cost_lamports, usd),
        "value": amount(value, usd),
        "unrealised": amount(unrealised, usd),
        "unrealised_bps": ratio_bps(unrealised, position.cost_lamports),
        "average_price_sol": price_sol(position.cost_lamports, position.base_units, instrument.decimals),
        "mark_price_sol": "0" if bar is None else plain(Decimal(f"{bar.close:.12g}")),
        "opened_at": iso(position.opened_ns),
        "trajectory_id": public_id(kernel.setup.run_id, position.trajectory_id),
    }


def limits(kernel: Kernel, valuation: Valuation) -> list[Document]:
    """Return wire.LimitView for every limit of account, wallet, buckets and strategies, and each protection that makes
    entries wait."""
    now_ns = kernel.state.now_ns
    measures = kernel.valuer.gate().account_measures(kernel.valuer.account(valuation), kernel.valuer.tail(valuation))
    locks = kernel.state.protections.locks(now_ns)
    return [
        *(limit(measure, "account") for measure in measures),
        *_level_limits(kernel),
        *(limit(lock_measure(lock, now_ns), lock.mint or "account") for lock in locks),
    ]


def _level_limits(kernel: Kernel) -> list[Document]:
    """Return the drawdown limits of each wallet, bucket and strategy that has any."""
    kernel.levels.refresh()
    found: list[Document] = []
    for (level, name), guard, bounds in kernel.state.levels.figures():
        if bounds.is_watched:
            scope = f"{level.value}:{name}"
            reducing = Measure("drawdown_bps", guard.drawdown_bps, bounds.reducing_bps, "bps", "reduces")
            halted = Measure("total_drawdown_bps", guard.total_drawdown_bps, bounds.halted_bps, "bps", "halts")
            found += [limit(halted, scope), limit(reducing, scope)]
    return found


def exposure(kernel: Kernel, valuation: Valuation) -> Document:
    """Return wire.ExposureView."""
    found = exposures(kernel.state, kernel.venue, valuation)
    instruments, equity = kernel.valuer.instruments, valuation.equity_lamports

    def shares(parts: Mapping[str, int]) -> list[Document]:
        return [
            {
                "name": name,
                "label": instruments[name].symbol if name in instruments else name,
                "lamports": lamports,
                "share_bps": ratio_bps(lamports, equity),
            }
            for name, lamports in parts.items()
        ]

    return {
        "total": amount(found.total_lamports, kernel.state.sol_usd),
        "by_token": shares(found.by_token),
        "by_strategy": shares(found.by_strategy),
        "by_bucket": shares(found.by_bucket),
        "by_tier": shares(found.by_tier),
        "by_group": shares(found.by_group),
    }


def limit(measure: Measure, scope: str) -> Document:
    """Return wire.LimitView; ``distance_bps`` is the share of the limit that is left, below 0 where it is crossed. Of a
    floor (``is_floor``: at least, not at most) it is the share of what there is that lies above it."""
    left = measure.used - measure.limit if measure.is_floor else measure.limit - measure.used
    whole = max(abs(measure.used), measure.limit, 1) if measure.is_floor else max(measure.limit, 1)
    return {
        "name": measure.name,
        "scope": scope,
        "limit": measure.limit,
        "used": measure.used,
        "unit": measure.unit,
        "is_floor": measure.is_floor,
        "distance_bps": max(-BPS_ONE, min(BPS_ONE, left * BPS_ONE // whole)),
    }


def compounding(kernel: Kernel, valuation: Valuation) -> Document:
    """Return wire.CompoundingView."""
    state, usd = kernel.state, kernel.state.sol_usd
    above = next_tier(state.tier)
    return {
        "target": amount(state.target_lamports, usd),
        "progress_bps": ratio_bps(valuation.equity_lamports, state.target_lamports),
        "tier": state.tier.name,
        "next_tier": None if above is None else above.name,
        "next_tier_at": None if above is None else amount(above.from_lamports, usd),
        "change_day": _change(kernel, valuation, DAY_NS),
        "change_week": _change(kernel, valuation, 7 * DAY_NS),
        "sparkline": state.trail.sparkline(),
    }


def _change(kernel: Kernel, valuation: Valuation, span_ns: int) -> Document | None:
    before = kernel.state.trail.equity_at(kernel.state.now_ns - span_ns)
    return None if before is None else amount(valuation.equity_lamports - before, kernel.state.sol_usd)


def strategies(kernel: Kernel) -> list[Document]:
    """Return wire.StrategyView for every strategy of the profile, and for orders by hand where there are any."""
    valuation = kernel.valuer.value()
    traded = {strategy.name: strategy for strategy in kernel.strategies}
    return [
        _strategy(kernel, name, dict(traded[name].parameters()) if name in traded else {}, valuation)
        for name in strategy_names(kernel)
    ]


def strategy_names(kernel: Kernel) -> list[str]:
    """Return the strategies of the profile, then every other bucket's."""
    names = [strategy.name for strategy in kernel.strategies]
    return [*names, *(bucket for bucket in kernel.state.ledger.buckets if bucket not in names)]


def _strategy(kernel: Kernel, name: str, parameters: Mapping[str, Any], valuation: Valuation) -> Document:
    state, usd = kernel.state, kernel.state.sol_usd
    bucket = state.ledger.buckets.get(name)
    held = [] if bucket is None else list(bucket.positions.values())
    value = sum(kernel.valuer.position_lamports(position, valuation) for position in held)
    capital = value + (0 if bucket is None else bucket.cash_lamports + bucket.rent_lamports)
    trades, wins = state.records.trades(name), state.records.wins(name)
    last = state.last_signal_ns.get(name)
    kind = module_of(name) or MANUAL
    standing_now, why = state.levels.state_of((Level.STRATEGY, name))
    return {
        "name": name,
        "kind": kind,
        "enabled": name in {strategy.name for strategy in kernel.strategies},
        "in_tier": state.tier.admits(kind),
        "state": standing_now.value,
        "state_reason": why,
        "parameters": dict(parameters),
        "bucket": name,
        "capital": amount(capital, usd),
        "trades": trades,
        "wins": wins,
        "realised": amount(state.records.realised_lamports(name), usd),
        "unrealised": amount(value - sum(position.cost_lamports for position in held), usd),
        "win_rate_bps": wins * BPS_ONE // trades if trades else None,
        "last_signal": None if last is None else iso(last),
        **promotion(kernel, name),
        "windows": windows_of(kernel, name),
        "allocation": allocation(kernel, name),
        "recall": standing(kernel, name),
    }


def promotion(kernel: Kernel, name: str) -> Document:
    """Return what wire.StrategyView says of a strategy's candidate: nothing promoted has none of it."""
    standing = kernel.state.promotions.of(name)
    if standing is None:
        return {"lineage": "", "stage": "", "gates": []}
    gates = [encode_record(gate) for gate in standing.gates]
    return {"lineage": standing.candidate, "stage": standing.stage.value, "gates": gates}


def tier(kernel: Kernel) -> Document:
    """Return wire.TierView: what the desk may do at its size, and how many of the market's pools are deep enough."""
    state, usd = kernel.state, kernel.state.sol_usd
    now, above = state.tier, next_tier(state.tier)
    depths = [kernel.venue.pool_lamports(mint) for mint in kernel.valuer.instruments]
    lowest, _ = tier_bounds(now)
    return {
        "name": now.name,
        "from_equity": amount(now.from_lamports, usd),
        "left_below": amount(lowest, usd),
        "next_tier": None if above is None else above.name,
        "next_tier_at": None if above is None else amount(above.from_lamports, usd),
        "equity_without_flows": amount(state.equity_without_flows_lamports, usd),
        "pool_min": amount(now.pool_lamports_min, usd),
        "pools": sum(depth > 0 for depth in depths),
        "pools_admitted": sum(depth >= now.pool_lamports_min for depth in depths),
        "fee_position_bps_max": kernel.valuer.bounds().fee_position_bps_max,
        "kelly_fraction_bps": kelly_fraction_bps(state.profile.sizing, now),
        "wallets_max": now.wallets_max,
        "barred_modules": list(now.barred_modules),
    }
