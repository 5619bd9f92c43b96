"""Why the desk says no: every reason of a denial, what it means, and what has to change.

The names are those of the journal, of ``why-not`` and of the tools. A reason that is not here is a mistake: a test
reads the code for what it can return.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trading.model.account import Level, TradingState
from trading.model.protection import ProtectionKind

from .rug_checks import RugReason


@dataclass(frozen=True, slots=True)
class Denial:
    """``meaning`` completes "denied, because"; ``ends`` says what must happen before the same order would pass."""

    meaning: str
    ends: str


def _of_states() -> dict[str, Denial]:
    ends = {
        TradingState.REDUCING: "`reducing_s` pass, where a drawdown did it; else an operator resumes",
        TradingState.HALTED: "an operator resumes",
    }
    desk = {f"state_{state.value.lower()}": Denial(f"the desk is {state.value}", end) for state, end in ends.items()}
    levels = {
        f"{level.value}_{state.value.lower()}": Denial(f"the {level.value} of the order is {state.value}", end)
        for level in Level
        for state, end in ends.items()
    }
    return desk | levels


_TIME: Final = "the time is over"
_PROTECTIONS: Final[Mapping[ProtectionKind, str]] = {
    ProtectionKind.COOLDOWN_PERIOD: "a trade closed a short time ago",
    ProtectionKind.STOPLOSS_GUARD: "too many trades were stopped out",
    ProtectionKind.MAX_DRAWDOWN: "closed trades lost too much of equity",
    ProtectionKind.LOW_PROFIT_PAIRS: "closed trades returned too little",
}
_RUGS: Final[Mapping[RugReason, str]] = {
    RugReason.FACTS_UNKNOWN: "facts that its strategy needs are not known of the token",
    RugReason.UNSELLABLE: "a simulated sale of the token fails",
    RugReason.SELL_LOSS: "a simulated sale brings much less than the tokens are worth",
    RugReason.MINT_AUTHORITY: "somebody can make more of the token",
    RugReason.FREEZE_AUTHORITY: "somebody can freeze accounts of the token",
    RugReason.PERMANENT_DELEGATE: "somebody can move anybody's tokens",
    RugReason.TRANSFER_HOOK: "a program can refuse transfers of the token",
    RugReason.TRANSFER_FEE: "transfers of the token are taxed",
    RugReason.LIQUIDITY_FREE: "the token's liquidity is neither locked nor burned",
    RugReason.LIQUIDITY_THIN: "too little is in the token's pool",
    RugReason.CONCENTRATED: "ten holders have too much of the token",
    RugReason.FEW_HOLDERS: "too few hold the token",
    RugReason.TOO_YOUNG: "the token is too young",
}
_SMALLER: Final = "the order is smaller, or less is held"
_MARKET: Final = "the market has changed"

DENIALS: Final[Mapping[str, Denial]] = {
    "not_an_entry": Denial("an entry must buy", "never: the order contradicts itself"),
    "not_an_exit": Denial("an exit must sell", "never: the order contradicts itself"),
    "banned": Denial("the token is on the ban list, of the desk or of its profile", "an operator changes the list"),
    "no_amount": Denial("the amount is not above 0", "an amount is given"),
    "nothing_to_sell": Denial("the bucket holds less, or it is on sale already", "less is sold"),
    "no_position": Denial("nothing is held of the token", "something is bought"),
    "not_enough_cash": Denial("the rest is invested, promised to open orders or kept for exits", "less is moved"),
    "unsellable": Denial("nobody buys the token now", _MARKET),
    **_of_states(),
    "riskier_profile": Denial("the profile may risk more, and only an operator may do that", "an operator switches"),
    "promotion_by_agent": Denial("only an operator promotes a strategy", "an operator promotes it"),
    "strategy_not_in_profile": Denial("the profile does not trade that strategy", "a profile with it is switched to"),
    "not_proven_on_paper": Denial(
        "a desk with real money takes on only what has passed every gate of the paper stage", "it is proven on paper"
    ),
    "nothing_promoted": Denial("no candidate of the strategy is promoted on the desk", "one is promoted"),
    "gate_failed": Denial("a gate of the promotion was not passed", "there is better evidence"),
    "strategy_demoted": Denial(
        "the strategy failed a gate that holds it, or was demoted by hand", "a candidate of it is promoted"
    ),
    "module_not_in_tier": Denial("strategies of that kind do not enter at this size of desk", "the tier changes"),
    "entries_stopped": Denial("an operator or an agent stopped entries", "an operator resumes"),
    "after_gap": Denial("nothing was seen for a while, by sleep, crash or feed", "some fresh cycles have passed"),
    "recalled_losses": Denial(
        "situations like this one came to nothing, and recall leaves nothing of the stated edge", _MARKET
    ),
    "untradable": Denial("the token has no price or cannot be traded now", _MARKET),
    "advice_wait": Denial("the sidecar advised to wait, within the profile's `advice`", "the wait is over"),
    "own_order_open": Denial("the token has an order under way", "that order has filled or failed"),
    **{reason.value: Denial(meaning, "the facts have changed") for reason, meaning in _RUGS.items()},
    "size_below_minimum": Denial("the size that the rules allow is not worth its fixed costs", "more may be risked"),
    "data_age_s": Denial("the newest price of the token is too old", "a newer one comes"),
    "drawdown_bps": Denial("equity is too far below its peak", "equity recovers, or `reducing_s` pass"),
    "total_drawdown_bps": Denial("equity is too far below its highest peak", "an operator resumes"),
    "day_loss_bps": Denial("too much was lost today (`account.zone`)", "the next day begins"),
    "entries_day": Denial("enough entries were sent today (`account.zone`)", "the next day begins"),
    "cooldown_s": Denial("the token was sold at a loss a short time ago", _TIME),
    "reentry_s": Denial("the token is below the price of its last losing exit", f"the price rises, or {_TIME}"),
    **{kind.value: Denial(meaning, _TIME) for kind, meaning in _PROTECTIONS.items()},
    "average_cost": Denial("the token is held at a loss: no losing position is added to", "it is worth its cost again"),
    "adds": Denial("the strategy added to its position as often as it may", "the position is closed"),
    "add_step_lamports": Denial("the position is not far enough above its cost to be added to", "the price rises"),
    "add_lamports": Denial("an addition must be smaller than the purchase before it", "less is bought"),
    "pool_lamports": Denial("the pool is too shallow for the desk's tier", _MARKET),
    "priority_fee_lamports": Denial("the priority fee is above its cap", "the profile pays less"),
    "fee_position_bps": Denial("network fees would take too much of the position", "the order is larger"),
    "slippage_bps": Denial("the order accepts a price too far from its quote", "`min_out` is nearer to the quote"),
    "impact_bps": Denial("the order would move the price too far", "the order is smaller"),
    "edge_over_cost_bps": Denial("what is expected does not pay for entry and exit", "more is expected, or costs fall"),
    "order_lamports": Denial("the order is too large a share of equity", "the order is smaller"),
    "token_exposure_lamports": Denial("too much of equity would be in the token", _SMALLER),
    "total_exposure_lamports": Denial("too much of equity would be in tokens", _SMALLER),
    **{
        f"{level.value}_exposure_lamports": Denial(
            f"too much of equity would be in tokens of the {level.value}", _SMALLER
        )
        for level in Level
    },
    "gap_token_lamports": Denial("the token at zero would cost too much", _SMALLER),
    "gap_joint_lamports": Denial("a joint fall of all tokens would cost too much", _SMALLER),
    "cvar_bps": Denial("the worst hours would cost too much of equity (expected shortfall)", _SMALLER),
    "turnover_day_lamports": Denial("too much would be bought and sold today (`account.zone`)", "the next day begins"),
    "positions": Denial("too many tokens would be held", "one is sold"),
    "held_by_another_agent": Denial(
        "another agent holds the token with a preview or an order under way, or it is that agent's turn",
        "its preview expires, its order ends, or its turn passes",
    ),
    "bucket_cash_lamports": Denial("the bucket has not so much cash", "the order is smaller, or money comes in"),
    "own_order_crosses": Denial("an order of ours trades the token the other way", "that order has ended"),
    "wallet_none": Denial("no wallet buys for that bucket", "a wallet of that bucket is configured"),
    "wallet_halted": Denial("the wallet is halted until a person answers", "`memmcp-trade review` is answered"),
    "wallet_orders": Denial("the wallet has as many orders open as it may", "one of them ends"),
    "wallet_cash_lamports": Denial(
        "no wallet has so much that is neither promised to orders nor kept for exits", "less is bought, or SOL comes in"
    ),
    "exit_reserve_lamports": Denial("too little SOL would be left for exits", "the order is smaller, or SOL comes in"),
}
"""By the word that the journal keeps; about in the order in which they are asked."""
