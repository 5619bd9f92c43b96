"""Control requests as commands of the kernel."""

from collections.abc import Mapping
from typing import Any

from trading.errors import InvalidInput, KeyTaken
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


def asked_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a repeat of a request the same one. Its reason does not: people word it anew."""
    return {name: value for name, value in sorted(request.items()) if name != "reason" and value is not None}


def require_same(known: Mapping[str, Any], request: Mapping[str, Any], key: str) -> None:
    """Raises: KeyTaken where what was done under a key is not what is asked for now."""
    done, asked = known.get("asked"), asked_of(request)
    if done is not None and done != asked:
        msg = f"the key {key[:80]!r} was used before, for {_told(done)}; {_told(asked)} was not done"
        raise KeyTaken(msg, field="idempotency_key", hint="take a new key for each thing you want done")


def _told(asked: Mapping[str, Any]) -> str:
    rest = ", ".join(f"{name} {str(value)[:64]}" for name, value in asked.items() if name != "action")
    return f"{asked.get('action')}{f' ({rest})' if rest else ''}"


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
