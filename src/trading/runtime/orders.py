"""Orders by hand, seen from the loop's thread: what is meant, what it would cost, whether it is still as shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trading.engine.trader import MANUAL, Plan
from trading.errors import InvalidInput
from trading.model import commands
from trading.model.instrument import Instrument
from trading.model.order import Denied, Side, SwapQuote, Verdict
from trading.model.units import BPS_ONE, NS_PER_S, SOL_DECIMALS, smallest_units, sol_text
from trading.ports import Venue
from trading.risk.sizing import min_out

from .documents import Document, amount, costs_of_quote, iso, tokens
from .session import Session
from .views import limit

SEARCH_STEPS_MAX = 80


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person or an agent was shown: the document, and the terms that bind the order (None: cannot be sent)."""

    document: Document
    terms: Mapping[str, Any] | None = None


def preview_trade(session: Session, request: Mapping[str, Any], agent: str) -> Shown:
    """Return the quote, the costs and the gate's verdict of an order by hand; nothing happens.

    Raises: InvalidInput naming the field.
    """
    mint = request["mint"]
    unknown = candidates(session, mint)
    if unknown is not None:
        return Shown(unknown)
    side = _side(request["side"])
    instrument = session.kernel.valuer.instruments[mint]
    wanted = _amount_in(session, request, instrument, side)
    quote = session.kernel.venue.quote(mint, side, wanted)
    if quote is None:
        return Shown({"status": "denied", "message": f"{instrument.symbol} cannot be traded now: no price or no pool"})
    slippage_bps = _slippage_bps(session, request)
    bucket, strategy = request.get("bucket") or MANUAL, request.get("strategy") or MANUAL
    strategies = [each.name for each in session.kernel.strategies]
    _require_known("bucket", bucket, [MANUAL, *session.kernel.state.ledger.buckets])
    _require_known("strategy", strategy, [MANUAL, *strategies])
    command = commands.PlaceOrder(
        key="",
        actor=agent,
        reason=request["reason"],
        side=side,
        mint=mint,
        bucket=bucket,
        strategy=strategy,
        amount_in=wanted,
        min_out=min_out(quote.amount_out, slippage_bps),
    )
    plan = session.control.plan(command)
    document = {**_plan_document(session, plan, instrument), **_told(plan, instrument)}
    if isinstance(plan.verdict, Denied):
        return Shown(document)
    terms = {
        "side": side.value,
        "mint": mint,
        "bucket": command.bucket,
        "strategy": command.strategy,
        "amount_in": wanted,
        "min_out": command.min_out,
        "reason": command.reason,
        "cites": list(request.get("cites") or ()),
    }
    return Shown(document, terms)


def confirm_trade(session: Session, terms: Mapping[str, Any], agent: str, key: str) -> Document:
    """Send the order that was shown, unless its price is gone; return what to remember under the key."""
    side = Side(terms["side"])
    quote = session.kernel.venue.quote(terms["mint"], side, terms["amount_in"])
    if quote is None or quote.amount_out < terms["min_out"]:
        given = 0 if quote is None else quote.amount_out
        message = f"the market moved: it would give {given}, the preview's bound is {terms['min_out']}; preview again"
        return {"status": "stale", "message": message}
    outcome = session.command(
        commands.PlaceOrder(
            key=key,
            actor=agent,
            reason=terms["reason"],
            side=side,
            mint=terms["mint"],
            bucket=terms["bucket"],
            strategy=terms["strategy"],
            amount_in=terms["amount_in"],
            min_out=terms["min_out"],
            cites=tuple(terms["cites"]),
        )
    )
    return sent(session, [order.id for order in outcome.orders], outcome.denied, outcome.effect)


def preview_close(session: Session, request: Mapping[str, Any]) -> Shown:
    """Return what selling that share of a token would bring; nothing happens."""
    mint, percent = request["mint"], request["percent"]
    if type(percent) is not int or not 1 <= percent <= 100:
        msg = f"percent: a whole number from 1 to 100, not {percent!r}"
        raise InvalidInput(msg, field="percent")
    unknown = candidates(session, mint)
    if unknown is not None:
        return Shown(unknown)
    kernel = session.kernel
    instrument = kernel.valuer.instruments[mint]
    holding = kernel.state.ledger.holding(mint)
    if holding is None:
        return Shown({"status": "denied", "message": f"nothing is held of {instrument.symbol}"})
    units = max(1, holding.base_units * percent // 100)
    quote = kernel.venue.quote(mint, Side.SELL, units)
    if quote is None or quote.amount_out == 0:
        return Shown({"status": "denied", "message": f"{instrument.symbol} cannot be sold now"})
    message = (
        f"Sell {tokens(units, instrument.decimals)} {instrument.symbol} for about {sol_text(quote.amount_out)} SOL. "
        "Nothing has happened yet."
    )
    document = {
        "status": "preview",
        "message": message,
        "quote": quote_document(session, quote, instrument),
        "costs": costs_of_quote(quote, kernel.state.profile.priority_fee_lamports),
        "verdict": {"approved": True, "reason": None, "message": "exits are never blocked by entry limits"},
    }
    terms = {"mint": mint, "percent": percent, "units": units, "out": quote.amount_out, "reason": request["reason"]}
    return Shown(document, terms)


def confirm_close(session: Session, terms: Mapping[str, Any], agent: str, key: str, drift_bps_max: int) -> Document:
    """Sell what was shown, unless its price is gone; return what to remember under the key."""
    quote = session.kernel.venue.quote(terms["mint"], Side.SELL, terms["units"])
    least = terms["out"] * (BPS_ONE - drift_bps_max) // BPS_ONE
    if quote is None or quote.amount_out < least:
        given = 0 if quote is None else quote.amount_out
        message = f"the market moved: it would bring {given} lamports, at least {least} was shown; preview again"
        return {"status": "stale", "message": message}
    command = commands.ClosePosition(key, agent, terms["reason"], terms["mint"], terms["percent"])
    outcome = session.command(command)
    return sent(session, [order.id for order in outcome.orders], outcome.denied, outcome.effect)


def sent(session: Session, order_ids: list[str], denied: Denied | None, effect: str) -> Document:
    """Return what to remember of a command that sent orders, or was denied."""
    remembered: Document = {"run": session.run.number, "run_id": session.run_id, "message": effect}
    if denied is not None:
        return remembered | {"status": "denied", "message": denied.message, "verdict": verdict_document(denied)}
    return remembered | {"status": "sent", "orders": order_ids}


def candidates(session: Session, given: str) -> Document | None:
    """Return the tokens that a symbol may mean, with liquidity and age; None when ``given`` is a known mint.

    Raises: InvalidInput when nothing of that name is there.
    """
    kernel = session.kernel
    if given in kernel.valuer.instruments:
        return None
    found = [each for each in kernel.valuer.instruments.values() if each.symbol.lower() == given.lower()]
    if not found:
        msg = f"mint: {given!r} is neither a mint nor a symbol among the {len(kernel.valuer.instruments)} tokens here"
        raise InvalidInput(msg, field="mint", hint="give the mint address of a token that the feed lists")
    found.sort(key=lambda each: (-kernel.venue.pool_lamports(each.mint), each.mint))
    return {
        "status": "candidates",
        "message": f"{given!r} is a symbol, not a mint: choose one and repeat with its mint. Nothing has happened.",
        "candidates": [_candidate(session, each) for each in found],
    }


def _candidate(session: Session, instrument: Instrument) -> Document:
    kernel = session.kernel
    bar = kernel.venue.mark(instrument.mint)
    return {
        "mint": instrument.mint,
        "symbol": instrument.symbol,
        "liquidity": amount(kernel.venue.pool_lamports(instrument.mint), kernel.state.sol_usd),
        "price_age_s": None if bar is None else (kernel.state.now_ns - bar.ts_close_ns) // NS_PER_S,
        "listed_at": iso(session.kernel.valuer.listed_ns.get(instrument.mint, 0)),
        "age_s": (kernel.state.now_ns - kernel.valuer.listed_ns.get(instrument.mint, 0)) // NS_PER_S,
        "tradable": kernel.venue.is_tradable(instrument.mint),
    }


def _side(given: str) -> Side:
    if given not in tuple(Side):
        msg = f"side: buy or sell, not {given!r}"
        raise InvalidInput(msg, field="side")
    return Side(given)


def _slippage_bps(session: Session, request: Mapping[str, Any]) -> int:
    given = request.get("max_slippage_bps")
    if given is None:
        return session.kernel.state.profile.limits.slippage_bps_max
    if type(given) is not int or not 0 <= given <= BPS_ONE:
        msg = f"max_slippage_bps: a whole number from 0 to {BPS_ONE}, not {given!r}"
        raise InvalidInput(msg, field="max_slippage_bps")
    return given


def _require_known(field: str, given: str, known: list[str]) -> None:
    if given not in known:
        names = ", ".join(dict.fromkeys(known))
        msg = f"{field}: {given!r} is unknown; known are {names}"
        raise InvalidInput(msg, field=field, hint=f"name one of {names}")


def _amount_in(session: Session, request: Mapping[str, Any], instrument: Instrument, side: Side) -> int:
    """Return lamports for a buy, base units for a sale: as given, or what it takes to get what was asked for."""
    sol, token = request.get("amount_sol"), request.get("amount_token")
    if (sol is None) == (token is None):
        msg = "amount_sol, amount_token: give exactly one of them"
        raise InvalidInput(msg, field="amount_sol")
    field, text, decimals = ("amount_sol", sol, SOL_DECIMALS)
    if token is not None:
        field, text, decimals = ("amount_token", token, instrument.decimals)
    try:
        wanted = smallest_units(str(text), decimals)
    except ValueError as error:
        msg = f"{field}: {error}"
        raise InvalidInput(msg, field=field) from error
    if wanted <= 0:
        msg = f"{field}: must be above 0, not {text}"
        raise InvalidInput(msg, field=field)
    lamports, units = (wanted, None) if token is None else (None, wanted)
    given, asked = (lamports, units) if side is Side.BUY else (units, lamports)
    if given is not None:
        return given
    assert asked is not None
    kernel = session.kernel
    most = max(1, kernel.state.ledger.cash_lamports)
    if side is Side.SELL:
        holding = kernel.state.ledger.holding(instrument.mint)
        most = 1 if holding is None else holding.base_units
    found = _smallest(kernel.venue, instrument.mint, side, asked, most)
    if found is None:
        what = f"{tokens(asked, instrument.decimals)} {instrument.symbol}" if side is Side.BUY else sol_text(asked)
        msg = f"{'amount_token' if side is Side.BUY else 'amount_sol'}: {what} is more than everything here would give"
        raise InvalidInput(msg, field="amount_token" if side is Side.BUY else "amount_sol")
    return found


def _smallest(venue: Venue, mint: str, side: Side, wanted_out: int, most: int) -> int | None:
    """Return the least amount in that gives at least ``wanted_out``, None when not even ``most`` does."""

    def gives(given: int) -> bool:
        quote = venue.quote(mint, side, given)
        return quote is not None and quote.amount_out >= wanted_out

    if not gives(most):
        return None
    low, high = 1, most
    for _ in range(SEARCH_STEPS_MAX):
        if low >= high:
            break
        middle = (low + high) // 2
        low, high = (low, middle) if gives(middle) else (middle + 1, high)
    return high


def quote_document(session: Session, quote: SwapQuote, instrument: Instrument) -> Document:
    usd = session.kernel.state.sol_usd
    is_buy = quote.side is Side.BUY
    lamports, units = (quote.amount_in, quote.amount_out) if is_buy else (quote.amount_out, quote.amount_in)
    return {
        "side": quote.side.value,
        "mint": quote.mint,
        "symbol": instrument.symbol,
        "sol": amount(lamports, usd),
        "tokens": tokens(units, instrument.decimals),
        "base_units": str(units),
        "price_impact_bps": quote.price_impact_bps,
        "ts": iso(quote.ts_ns),
    }


def verdict_document(verdict: Verdict) -> Document:
    if isinstance(verdict, Denied):
        return {
            "approved": False,
            "reason": verdict.reason,
            "message": verdict.message,
            "limit": verdict.limit,
            "used": verdict.used,
        }
    return {"approved": True, "reason": None, "limits": [limit(each, "order") for each in verdict.measures]}


def _plan_document(session: Session, plan: Plan, instrument: Instrument) -> Document:
    assert plan.quote is not None
    return {
        "quote": quote_document(session, plan.quote, instrument) | {"min_out": str(plan.order.min_out)},
        "costs": costs_of_quote(plan.quote, plan.order.priority_fee_lamports),
        "verdict": verdict_document(plan.verdict),
    }


def _told(plan: Plan, instrument: Instrument) -> Document:
    assert plan.quote is not None
    if isinstance(plan.verdict, Denied):
        return {"status": "denied", "message": f"{plan.verdict.message} ({plan.verdict.reason})"}
    quote = plan.quote
    is_buy = quote.side is Side.BUY
    units, lamports = (quote.amount_out, quote.amount_in) if is_buy else (quote.amount_in, quote.amount_out)
    verb = "Buy" if is_buy else "Sell"
    message = (
        f"{verb} about {tokens(units, instrument.decimals)} {instrument.symbol} for {sol_text(lamports)} SOL, "
        f"impact {quote.price_impact_bps} bps. Nothing has happened yet."
    )
    return {"status": "preview", "message": message}
