"""Rebalancing by hand: cash between buckets, or tokens to weights. Sales first; every purchase passes the gate."""

from collections.abc import Mapping
from typing import Any, Final

from trading.engine.trader import MANUAL
from trading.engine.treasury import capital_of, weights_of
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.order import Denied, Side, SwapQuote
from trading.model.units import BPS_ONE, sol_text
from trading.portfolio.transfers import transfers, wanted_lamports
from trading.risk.sizing import min_out

from .documents import Document, amount, costs_of_quote
from .naming import public_id
from .orders import Shown, verdict_document
from .session import Session

Leg = dict[str, Any]
SCOPES: Final = ("buckets", "tokens")
POLICIES: Final = ("equal", "cash", "profile")


def preview(session: Session, request: Mapping[str, Any], agent: str) -> Shown:
    """Return the legs; nothing happens. Raises: InvalidInput naming the field."""
    weights, policy = request.get("weights_bps"), request.get("policy")
    if (weights is None) == (policy is None):
        msg = "weights_bps, policy: give exactly one of them"
        raise InvalidInput(msg, field="weights_bps")
    if weights is not None and (sum(weights.values()) > BPS_ONE or min(weights.values(), default=0) < 0):
        msg = f"weights_bps: at least 0 each and at most {BPS_ONE} together, not {sum(weights.values())}"
        raise InvalidInput(msg, field="weights_bps")
    policies = POLICIES if request["scope"] == "buckets" else POLICIES[:2]
    for field, given, known in (("scope", request["scope"], SCOPES), ("policy", policy or "equal", policies)):
        if given not in known:
            msg = f"{field}: {' or '.join(known)}, not {given!r}"
            raise InvalidInput(msg, field=field)
    if request["scope"] == "buckets":
        legs = _bucket_legs(session, _bucket_weights(session, weights, policy))
        message = f"{len(legs)} moves of cash between buckets. Nothing has happened yet."
    else:
        legs = _token_legs(session, _token_weights(session, weights, policy), request["reason"], agent)
        message = f"{len(legs)} trades. Nothing has happened yet; purchases use the cash that is there now."
    if not legs:
        message = "Everything is where it should be: there is nothing to move."
    document = {"status": "preview", "message": message, "legs": legs}
    return Shown(document, {"scope": request["scope"], "legs": legs, "reason": request["reason"]})


def confirm(session: Session, terms: Mapping[str, Any], agent: str, key: str) -> Document:
    """Carry the legs out, as they were shown; each says what became of it."""
    done = [_carry_out(session, leg, terms, agent, f"{key}/{number}") for number, leg in enumerate(terms["legs"])]
    refused = [leg for leg in done if leg["status"] == "denied"]
    message = f"{len(done) - len(refused)} of {len(done)} legs carried out."
    status = "denied" if done and len(refused) == len(done) else "done"
    return {"run": session.run.number, "run_id": session.run_id, "status": status, "message": message, "legs": done}


def orders_of(known: Mapping[str, Any]) -> list[str]:
    """Return the orders that a remembered answer's legs sent, by their names inside the run."""
    return [str(order) for leg in known.get("legs", ()) for order in leg.get("orders", ())]


def settled(known: Mapping[str, Any], reports: Mapping[str, events.Event], waiting: Mapping[str, Document]) -> Document:
    """Return the answer to a rebalance as it stands now: what became of the orders of each leg. ``waiting``: the orders
    that wait for the operator, by their public names."""
    run_id = str(known["run_id"])
    open_orders = sum(order not in reports for order in orders_of(known))
    legs = [_settled_leg(leg, run_id, reports, waiting) if leg.get("orders") else leg for leg in known["legs"]]
    message = known["message"]
    if open_orders:
        message = f"{message} {open_orders} orders are not settled yet; ask again."
    return {"status": known["status"], "message": message, "legs": legs, "orders_open": open_orders}


def _settled_leg(leg: Leg, run_id: str, reports: Mapping[str, events.Event], waiting: Mapping[str, Document]) -> Leg:
    names = {order: public_id(run_id, order) for order in leg["orders"]}
    found = [reports[order] for order in leg["orders"] if order in reports]
    fills = [each.fill for each in found if isinstance(each, events.OrderFilled)]
    rejected = [each.rejected for each in found if isinstance(each, events.OrderRejected)]
    outcome, told = "filled", f"{sol_text(sum(fill.lamports for fill in fills))} SOL"
    if any(name in waiting for name in names.values()):
        outcome, told = "awaiting_operator", "waits for the operator's approval"
    elif len(found) < len(names):
        outcome, told = "working", "sent; the next price of the token fills it"
    elif not fills:
        outcome, told = "rejected", f"{rejected[0].message} ({rejected[0].reason})"
    elif rejected:
        told = f"{told}; {len(rejected)} of {len(names)} orders rejected: {rejected[0].message}"
    return leg | {"orders": list(names.values()), "outcome": outcome, "told": told}


def _carry_out(session: Session, leg: Leg, terms: Mapping[str, Any], agent: str, key: str) -> Leg:
    reason = terms["reason"]
    command: commands.Command
    if terms["scope"] == "buckets":
        command = commands.MoveCapital(key, agent, reason, leg["from"], leg["to"], leg["lamports"])
    elif _has_moved(session, leg):
        return leg | {"status": "denied", "message": "the market moved since the preview, or it is held no more"}
    elif leg["side"] == Side.SELL.value:
        command = commands.ClosePosition(key, agent, reason, leg["mint"], leg["percent"])
    else:
        command = _purchase(leg["mint"], leg["lamports"], leg["min_out"], reason, agent, key)
    outcome = session.command(command)
    if outcome.denied is not None:
        return leg | {"status": "denied", "message": outcome.denied.message}
    return leg | {"status": "done", "message": outcome.effect, "orders": [order.id for order in outcome.orders]}


def _has_moved(session: Session, leg: Leg) -> bool:
    """Return whether the market would give less now than the bound that was shown."""
    if leg["side"] == Side.SELL.value:
        quote = _sale(session, leg["mint"], leg["percent"])
    else:
        quote = session.kernel.venue.quote(leg["mint"], Side.BUY, leg["lamports"])
    least: int = leg["min_out"]
    return (0 if quote is None else quote.amount_out) < least


def _sale(session: Session, mint: str, percent: int) -> SwapQuote | None:
    """Return what that share of what is held would bring, None where nothing is held or nobody buys."""
    holding = session.kernel.state.ledger.holding(mint)
    if holding is None:
        return None
    return session.kernel.venue.quote(mint, Side.SELL, max(1, holding.base_units * percent // 100))


def _purchase(mint: str, lamports: int, least: int, reason: str, agent: str, key: str) -> commands.PlaceOrder:
    return commands.PlaceOrder(key, agent, reason, Side.BUY, mint, MANUAL, MANUAL, lamports, least)


def _bucket_weights(session: Session, weights: Mapping[str, int] | None, policy: str | None) -> dict[str, int]:
    buckets = list(session.kernel.state.ledger.buckets)
    strategies = [strategy.name for strategy in session.kernel.strategies]
    if weights is not None:
        unknown = sorted(set(weights) - {*buckets, *strategies, MANUAL})
        if unknown:
            msg = f"weights_bps: unknown buckets {', '.join(unknown)}; known are {', '.join([*buckets, MANUAL])}"
            raise InvalidInput(msg, field="weights_bps")
        return dict(weights)
    if policy == "cash":  # out of every strategy's reach
        return {MANUAL: BPS_ONE}
    if policy == "profile":
        return weights_of(session.kernel.state.profile)
    return {name: BPS_ONE // len(strategies) for name in strategies}


def _bucket_legs(session: Session, weights: Mapping[str, int]) -> list[Leg]:
    """Return moves from buckets that have more than their share to those that have less, as far as their cash goes.

    What the weights leave over stays where it is.
    """
    state, valuer = session.kernel.state, session.kernel.valuer
    capital = capital_of(state, valuer, valuer.value())
    free = {name: valuer.free_lamports(name) for name in capital}
    return [
        {"from": each.from_bucket, "to": each.to_bucket, "lamports": each.lamports, "sol": sol_text(each.lamports)}
        for each in transfers(capital, free, wanted_lamports(sum(capital.values()), weights))
    ]


def _token_weights(session: Session, weights: Mapping[str, int] | None, policy: str | None) -> dict[str, int]:
    kernel = session.kernel
    held = kernel.state.ledger.held_mints()
    if weights is not None:
        unknown = sorted(set(weights) - set(kernel.valuer.instruments))
        if unknown:
            msg = f"weights_bps: unknown mints {', '.join(unknown)}"
            raise InvalidInput(msg, field="weights_bps", hint="name mints that the feed lists")
        return {**dict.fromkeys(held, 0), **weights}
    if policy == "cash" or not held:
        return dict.fromkeys(held, 0)
    valuation = kernel.valuer.value()
    share = valuation.exposure_lamports * BPS_ONE // max(1, valuation.equity_lamports) // len(held)
    return dict.fromkeys(held, share)


def _token_legs(session: Session, weights: Mapping[str, int], reason: str, agent: str) -> list[Leg]:
    """Return sales of what is above its weight, then purchases of what is below, with the gate's word to each."""
    kernel = session.kernel
    valuation = kernel.valuer.value()
    smallest = kernel.state.profile.sizing.order_lamports_min
    sales: list[Leg] = []
    purchases: list[Leg] = []
    for mint, weight in weights.items():
        value = valuation.by_mint.get(mint, 0)
        change = valuation.equity_lamports * weight // BPS_ONE - value
        leg: Leg = {"mint": mint, "symbol": kernel.valuer.instruments[mint].symbol}
        if change < 0 and (weight == 0 or -change >= smallest):
            percent = 100 if weight == 0 else max(1, min(100, -change * 100 // value))
            quote = _sale(session, mint, percent)
            out = value * percent // 100 if quote is None else quote.amount_out
            least = min_out(out, kernel.state.profile.limits.slippage_bps_max)
            worth = amount(out, kernel.state.sol_usd)
            sale = {"side": "sell", "percent": percent, "min_out": least, "value": worth}
            costs = {} if quote is None else costs_of_quote(quote, kernel.state.profile.priority_fee_lamports)
            would_be = "sent" if quote is not None else "denied"
            sales.append(leg | sale | {"costs": costs, "would_be": would_be})
        elif change >= smallest:
            found = _purchase_leg(session, leg, change, reason, agent)
            if found is not None:
                purchases.append(found)
    return [*sales, *purchases]


def _purchase_leg(session: Session, leg: Leg, lamports: int, reason: str, agent: str) -> Leg | None:
    kernel = session.kernel
    quote = kernel.venue.quote(leg["mint"], Side.BUY, lamports)
    if quote is None:
        return None
    least = min_out(quote.amount_out, kernel.state.profile.limits.slippage_bps_max)
    plan = session.control.plan(_purchase(leg["mint"], lamports, least, reason, agent, ""))
    return leg | {
        "side": "buy",
        "lamports": lamports,
        "min_out": least,
        "value": amount(lamports, kernel.state.sol_usd),
        "costs": costs_of_quote(quote, kernel.state.profile.priority_fee_lamports),
        "verdict": verdict_document(plan.verdict),
        "would_be": "denied" if isinstance(plan.verdict, Denied) else "sent",
    }
