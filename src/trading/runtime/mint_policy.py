"""Which mints may be bought with real money: what the chain says of them, held against the profile in force."""

from trading.adapters.solana.mints import read_mint
from trading.errors import TradingError
from trading.model.chain import AccountSeen, MintSeen
from trading.model.rug_rules import MintPower, RugRules


class MintPolicy:
    """Body of ``preparing.PreparingParts.mint_problems``. ``rules`` follow the profile; None: it is not known yet."""

    def __init__(self) -> None:
        self.rules: RugRules | None = None

    def problems(self, account: AccountSeen) -> list[str]:
        """Return why a mint is not bought, nothing where it may be."""
        if self.rules is None:
            return ["the desk has not said under which profile it trades"]
        return mint_problems(account, self.rules)


def mint_problems(account: AccountSeen, rules: RugRules) -> list[str]:
    """Return why a mint is not bought: whoever made it could take, freeze or tax what was bought."""
    try:
        seen = read_mint(account)
    except TradingError as error:
        return [error.message]
    banned = [f"{account.address} is on the ban list"] if account.address in rules.banned else []
    return [*banned, *_fixed(seen, rules), *_powers(seen, rules)]


def _fixed(seen: MintSeen, rules: RugRules) -> list[str]:
    """Return what no profile allows, and a fee of transfers beyond its bound."""
    wrong = {
        "it takes a fee of every transfer": seen.transfer_fee_bps > rules.transfer_fee_bps_max,
        "new accounts of it are frozen": seen.is_frozen_by_default,
        "it cannot be sent on": seen.is_non_transferable,
        "its transfers are stopped": seen.is_paused,
        "it has an extension that is not known here": bool(seen.unknown_extensions),
    }
    return [problem for problem, is_so in wrong.items() if is_so]


def _powers(seen: MintSeen, rules: RugRules) -> list[str]:
    held = (
        (MintPower.MINT, seen.mint_authority, "somebody can mint more of it"),
        (MintPower.FREEZE, seen.freeze_authority, "somebody can freeze it"),
        (MintPower.MOVE, seen.permanent_delegate, "somebody can take it from any account"),
        (MintPower.HOOK, seen.transfer_hook, "a program of its own is asked at every transfer"),
        (MintPower.HOOK, seen.transfer_hook_authority, "somebody can set a program that is asked at every transfer"),
        (MintPower.TAX, seen.transfer_fee_authority, "somebody can set a fee of every transfer"),
        (MintPower.STOP, seen.pause_authority, "somebody can stop its transfers"),
    )
    return [problem for power, who, problem in held if who and not rules.allows(power)]
