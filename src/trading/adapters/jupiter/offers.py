"""An offer is an answer to what was asked, or none: what ``/build`` and ``/order`` have in common."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from trading.adapters.canonical import canonical_json
from trading.adapters.jupiter.gateway import Gateway
from trading.adapters.jupiter.models import U64_MAX, Build, Order
from trading.errors import InvalidInput, RouteRefused
from trading.model.chain import SwapWanted

_BPS: Final = 10_000
_Answer = TypeVar("_Answer", bound=BaseModel)


def check_wanted(wanted: SwapWanted) -> None:
    """Refuse what no router can answer, without asking. Raises: RouteRefused, InvalidInput."""
    if wanted.in_mint == wanted.out_mint:
        raise RouteRefused("a swap into the same token", reason="circular")
    if not 0 < wanted.amount_in <= U64_MAX:
        msg = f"{wanted.amount_in} base units cannot be swapped"
        raise InvalidInput(msg, field="amount_in", hint=f"an amount lies between 1 and {U64_MAX}")
    if not 0 <= wanted.slippage_bps <= _BPS:
        msg = f"a slippage lies between 0 and {_BPS} basis points, not {wanted.slippage_bps}"
        raise InvalidInput(msg, field="slippage_bps")


def check_answer(quoted: Build | Order, wanted: SwapWanted) -> None:
    """Refuse an answer to another question. Raises: RouteRefused."""
    wrong = []
    if (quoted.input_mint, quoted.output_mint) != (wanted.in_mint, wanted.out_mint):
        wrong.append(f"{quoted.input_mint} into {quoted.output_mint}")
    if quoted.in_amount != wanted.amount_in:
        wrong.append(f"{quoted.in_amount} base units in")
    if quoted.swap_mode != "ExactIn":
        wrong.append(f"mode {quoted.swap_mode}")
    least = quoted.out_amount * (_BPS - wanted.slippage_bps) // _BPS
    if not least <= quoted.other_amount_threshold <= quoted.out_amount:
        wrong.append(f"at least {quoted.other_amount_threshold} of {quoted.out_amount} out")
    if wrong:
        msg = f"the offer is not what was asked for: {', '.join(wrong)}"
        raise RouteRefused(msg, reason="not_as_asked")
    if quoted.other_amount_threshold < 1:
        raise RouteRefused("nothing would have to come out", reason="amount_too_small")


def parsed(model: type[_Answer], document: Any, gateway: Gateway) -> _Answer:
    """Return the answer as documented. Raises: RouterUnavailable where it has drifted away."""
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        gateway.reject(f"the answer is not as documented: {place}: {found['msg']}")


def impact_bps(ratio: Decimal) -> int:
    """Return a loss, whatever its sign, in basis points, rounded up: signs differ between the endpoints."""
    return int((abs(ratio) * _BPS).to_integral_value(ROUND_CEILING))


def evidence(document: Mapping[str, Any]) -> str:
    """Return the answer as canonical JSON; numbers with a point become text, so that nothing is lost."""
    return canonical_json(_plain(document)).decode()


def venues(quoted: Build | Order) -> tuple[str, ...]:
    """Return the labels of the pools on the route, in order, each once."""
    return tuple(dict.fromkeys(step.swap_info.label for step in quoted.route_plan))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
