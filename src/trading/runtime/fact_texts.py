"""What is known about a token, in words."""

from trading.model.rug_rules import RugRules
from trading.model.token_facts import Facts
from trading.model.units import sol_text
from trading.risk.rug_checks import findings


def facts_text(facts: Facts, symbol: str, rules: RugRules) -> str:
    """Return what stands out, and what speaks against the token under these rules."""
    known = [
        None if facts.holders is None else f"{facts.holders} holders",
        None if facts.top_ten_bps is None else f"ten of them have {facts.top_ten_bps} bps",
        None if facts.liquidity_lamports is None else f"{sol_text(facts.liquidity_lamports)} SOL in its pool",
        None if facts.liquidity_hold is None else f"liquidity {facts.liquidity_hold.value}",
        None if facts.age_s is None else f"{facts.age_s} s old",
    ]
    told = ", ".join(each for each in known if each) or "nothing but its mint"
    against = "; ".join(found.message for found in findings(facts, rules)) or "nothing"
    return f"known about {symbol}: {told}; against it speaks: {against}"
