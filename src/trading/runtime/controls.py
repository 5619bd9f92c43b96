"""Control requests as commands of the kernel."""

from collections.abc import Mapping
from typing import Any

from trading.errors import InvalidInput
from trading.model import commands
from trading.model.units import sol_to_lamports


def command_of(request: Mapping[str, Any], actor: str, key: str) -> commands.Command:
    """Return the command of a control request. Raises: InvalidInput naming the field."""
    action, reason, level = request.get("action"), request.get("reason") or "", request.get("level") or ""
    match action:
        case "stop_entries":
            return commands.StopEntries(key, actor, reason)
        case "reduce_only":
            return commands.ReduceOnly(key, actor, reason, level)
        case "flatten_and_halt":
            return commands.FlattenAndHalt(key, actor, reason, level)
        case "resume":
            return commands.Resume(key, actor, reason, level)
        case "close":
            return commands.ClosePosition(key, actor, reason, given(request, "mint"), given(request, "percent"))
        case "deposit":
            return commands.Deposit(key, actor, reason, _lamports(request))
        case "withdraw":
            return commands.Withdraw(key, actor, reason, _lamports(request))
        case "target":
            return commands.SetTarget(key, actor, reason, _lamports(request))
        case _:
            msg = f"action: {action!r} is unknown"
            raise InvalidInput(msg, field="action")


def given(request: Mapping[str, Any], name: str) -> Any:
    if request.get(name) is None:
        msg = f"{name}: is needed for {request.get('action')}"
        raise InvalidInput(msg, field=name)
    return request[name]


def _lamports(request: Mapping[str, Any]) -> int:
    try:
        return int(sol_to_lamports(given(request, "amount_sol")))
    except (ValueError, ArithmeticError) as error:
        msg = f"amount_sol: {error}"
        raise InvalidInput(msg, field="amount_sol") from error
