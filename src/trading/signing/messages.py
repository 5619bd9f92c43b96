"""The signer's own look at a message, whatever the desk saw before: the same reading, its own view of the chain."""

from solders.message import MessageV0

from trading.execution.upkeep_rules import UpkeepBounds, account_violations, upkeep_violations
from trading.execution.verifier import MESSAGE_BYTES_MAX, SwapBounds, all_keys, parsed, violations_of
from trading.model.chain import SignWanted
from trading.model.intent import IntentKind
from trading.model.mandate import Mandate

from .chain_view import ChainView


class SwapMessages:
    """The body of ``core.MessageCheck``."""

    async def violations(self, wanted: SignWanted, mandate: Mandate, chain: ChainView) -> tuple[str, ...]:
        """Return the names of everything that is wrong with the message. Raises: ChainUnavailable."""
        if wanted.kind not in (IntentKind.SWAP, IntentKind.ROUND_TRIP):
            return await _upkeep(wanted, mandate, chain)
        if len(wanted.message) > MESSAGE_BYTES_MAX:
            return ("size",)
        message = parsed(wanted.message)
        if message is None:
            return ("unparseable",)
        lookups = message.address_table_lookups if isinstance(message, MessageV0) else []
        tables = await chain.tables([str(each.account_key) for each in lookups]) if lookups else {}
        keys = all_keys(message, tables)
        if keys is None:
            chain.forget([str(each.account_key) for each in lookups])  # it may have grown since it was read
            return ("lookup_table",)
        return violations_of(message, keys, wanted, bounds_of(mandate))


async def _upkeep(wanted: SignWanted, mandate: Mandate, chain: ChainView) -> tuple[str, ...]:
    """Read the message, and look whether accounts are as empty as their closing needs, at every endpoint."""
    bounds = UpkeepBounds(mandate.fee_lamports_max, mandate.cold_address)
    problems = upkeep_violations(wanted, bounds)
    if problems or wanted.kind is IntentKind.SWEEP:
        return problems
    told = await chain.accounts([each.address for each in wanted.accounts])
    return tuple(dict.fromkeys(problem for seen in told for problem in account_violations(wanted, seen)))


def bounds_of(mandate: Mandate) -> SwapBounds:
    """Return what a mandate says of a swap's costs."""
    return SwapBounds(
        fee_lamports_max=mandate.fee_lamports_max,
        slippage_bps_max=mandate.slippage_bps_max,
        tip_lamports_max=mandate.tip_lamports_max,
        tip_accounts=mandate.tip_accounts,
        programs=mandate.programs,
    )
