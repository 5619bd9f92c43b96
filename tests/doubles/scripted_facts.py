"""Facts that a test writes down: a first-class body of ``ports.TokenFacts``."""

from dataclasses import replace
from typing import Any

from trading.model.token_facts import Facts, LiquidityHold, SellSimulation


def clean_facts(mint: str = "sim:AAA", **changes: Any) -> Facts:
    """Return facts of a token that nothing speaks against."""
    facts = Facts(
        mint=mint,
        age_s=3_600,
        holders=500,
        top_ten_bps=2_000,
        mint_authority="",
        freeze_authority="",
        transfer_fee_bps=0,
        transfer_hook="",
        permanent_delegate="",
        liquidity_lamports=100 * 10**9,
        liquidity_hold=LiquidityHold.BURNED,
        sale=SellSimulation(10**6, 10**8, 98_000_000),
    )
    return replace(facts, **changes)


class ScriptedFacts:
    """Knows each token from the time that the script says."""

    def __init__(self, script: dict[str, tuple[int, Facts]]) -> None:
        self._script = script

    def facts(self, mint: str, now_ns: int) -> Facts | None:
        since_ns, facts = self._script.get(mint, (0, None))
        if facts is None or now_ns < since_ns:
            return None
        aged = None if facts.age_s is None else facts.age_s + (now_ns - since_ns) // 10**9
        return replace(facts, age_s=aged)
