"""Promotion and demotion on the desk: parameters taken on by command, and held by their gates every day."""

import json
from collections.abc import Callable
from typing import Any, Final

from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.order import Denied
from trading.model.profile import Profile, StrategyChoice
from trading.model.promotion import Stage, number_of
from trading.portfolio.gates import Proven, failed, gate_text, holding_gates
from trading.portfolio.promotions import Standing

from .state import DeskState
from .valuation import Valuation, Valuer

LIVE_MODE: Final = "live"
PAPER_GATES: Final = frozenset({"paper_days", "paper_trades", "paper_psr", "paper_drift"})
"""What a desk with real money wants to see passed, whoever says that it was."""
GATES_FAILED: Final = "by the desk"
"""Who demotes what fails a gate."""

Emit = Callable[[events.Event], Any]


def judge_promoted(state: DeskState, valuer: Valuer, valuation: Valuation, emit: Emit) -> None:
    """Read the gates of each promoted strategy at the end of a day, from what the desk has journalled; demote what
    fails one."""
    for standing in state.promotions.promoted():
        name, result = standing.strategy, worth_lamports(state, valuer, valuation, standing.strategy)
        result -= standing.base_lamports
        emit(_judged(state, standing, result))
        lost = failed(state.promotions.standings[name].gates)
        if lost:
            reason = f"{GATES_FAILED}: {'; '.join(map(gate_text, lost))}"
            emit(events.StrategyDemoted(state.now_ns, name, standing.candidate, standing.stage, lost, reason))


def _judged(state: DeskState, standing: Standing, result: int) -> events.StrategyJudged:
    results = (*standing.results_lamports, result)
    trades = state.records.returns_bps(standing.strategy, standing.since_ns)
    gates = holding_gates(Proven(standing.capital_lamports, results, trades), standing.terms)
    return events.StrategyJudged(state.now_ns, standing.strategy, standing.candidate, standing.stage, result, gates)


def worth_lamports(state: DeskState, valuer: Valuer, valuation: Valuation, strategy: str) -> int:
    """Return what a strategy has realised over its finished trades, and what its open positions would bring beyond
    their cost."""
    return state.records.realised_lamports(strategy) + sum(
        valuer.position_lamports(each, valuation) - each.cost_lamports
        for each in state.ledger.positions()
        if each.strategy == strategy
    )


def proven(state: DeskState, strategy: str) -> Proven | None:
    """Return what a promoted strategy did on this desk, None where it was not promoted."""
    standing = state.promotions.of(strategy)
    if standing is None:
        return None
    trades = state.records.returns_bps(strategy, standing.since_ns)
    return Proven(standing.capital_lamports, standing.results_lamports, trades)


def refusal(state: DeskState, mode: str, command: commands.PromoteStrategy) -> Denied | None:
    """Return why a strategy is not promoted, None where it is."""
    if command.actor.startswith(commands.AGENT):
        return Denied("promotion_by_agent", "an agent may propose a candidate; an operator promotes it")
    if command.strategy not in {choice.name for choice in state.profile.strategies}:
        names = ", ".join(choice.name for choice in state.profile.strategies)
        return Denied("strategy_not_in_profile", f"{state.profile.name} trades {names}, not {command.strategy}")
    lost = failed(command.gates)
    if lost or not command.gates:
        return Denied("gate_failed", "; ".join(map(gate_text, lost)) or "no gate was read")
    is_proven = command.stage is Stage.LIVE and {gate.name for gate in command.gates} >= PAPER_GATES
    if mode == LIVE_MODE and not is_proven:
        return Denied("not_proven_on_paper", "real money takes on only what has passed every gate of the paper stage")
    standing = state.promotions.of(command.strategy)
    is_on_paper = standing is not None and (standing.candidate, standing.stage) in {
        (command.candidate, Stage.PAPER),
        (command.candidate, Stage.LIVE),
    }
    if mode != LIVE_MODE and command.stage is Stage.LIVE and not (is_proven and is_on_paper):
        return Denied("not_proven_on_paper", f"{command.candidate} is not in the paper stage of this desk")
    return None


def with_candidate(profile: Profile, command: commands.PromoteStrategy) -> Profile:
    """Return the profile in which the strategy has the candidate's parameters.

    Raises: InvalidInput where they are not numbers by name.
    """
    try:
        parameters = {name: number_of(text) for name, text in json.loads(command.parameters).items()}
    except (ValueError, AttributeError, TypeError) as error:
        msg = f"parameters: numbers by name are needed, not {command.parameters[:80]!r}"
        raise InvalidInput(msg, field="parameters") from error
    choices = tuple(
        StrategyChoice(name=choice.name, weight_bps=choice.weight_bps, parameters=parameters, lineage=command.candidate)
        if choice.name == command.strategy
        else choice
        for choice in profile.strategies
    )
    return profile.model_copy(update={"strategies": choices})


def with_promoted(wanted: Profile, present: Profile) -> Profile:
    """Return a profile with what was promoted in the present one: a start of the desk takes no promotion back."""
    promoted = {choice.name: choice for choice in present.strategies if choice.lineage}
    if not promoted:
        return wanted
    choices = tuple(
        promoted[choice.name].model_copy(update={"weight_bps": choice.weight_bps})
        if choice.name in promoted
        else choice
        for choice in wanted.strategies
    )
    return wanted.model_copy(update={"strategies": choices})
