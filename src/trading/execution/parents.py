"""A parent order for nodes: what is wished in all, over which wallets and how spread, as children that are intents."""

from dataclasses import dataclass

from trading.errors import InvalidInput
from trading.model.intent import Intent
from trading.model.node import Parent, PlannedChild

from .splitting import SplitRules, split


@dataclass(frozen=True, slots=True)
class ParentTerms:
    """``whole`` is the order as one intent: its amount and its least are what the children share. The children go over
    ``wallets`` in turns. Each may be begun for ``wait_ns`` after it is due. ``depth_units`` is what the market holds of
    what is given."""

    whole: Intent
    wallets: tuple[str, ...]
    depth_units: int
    begins_ns: int
    wait_ns: int


def parent_of(terms: ParentTerms, rules: SplitRules) -> Parent:
    """Return the parent with its children: together they give exactly what was wished, each for its share of the least
    at least.

    Raises: InvalidInput for terms or rules that are none.
    """
    whole = terms.whole
    if not terms.wallets:
        msg = "wallets: an order needs one at least"
        raise InvalidInput(msg, field="wallets")
    if terms.wait_ns < 1:
        msg = f"wait_ns: {terms.wait_ns} is not above 0"
        raise InvalidInput(msg, field="wait_ns")
    parts = split(whole.amount_in, terms.depth_units, terms.begins_ns, rules)
    children = tuple(
        PlannedChild(
            part.number,
            part.due_ns,
            _child_of(terms, part.number, part.amount, part.due_ns),
        )
        for part in parts
    )
    return Parent(whole.id, whole.key, children)


def _child_of(terms: ParentTerms, number: int, amount: int, due_ns: int) -> Intent:
    whole = terms.whole
    return Intent(
        id=f"{whole.id}_{number}",
        key=f"{whole.key}/{number}",
        wallet=terms.wallets[number % len(terms.wallets)],
        in_mint=whole.in_mint,
        out_mint=whole.out_mint,
        amount_in=amount,
        min_out=-(-whole.min_out * amount // whole.amount_in),  # rounded up: together never below the whole
        slippage_bps_max=whole.slippage_bps_max,
        fee_lamports_max=whole.fee_lamports_max,
        attempts_max=whole.attempts_max,
        created_ns=due_ns,
        deadline_ns=due_ns + terms.wait_ns,
        is_exit=whole.is_exit,
        reason=whole.reason,
    )
