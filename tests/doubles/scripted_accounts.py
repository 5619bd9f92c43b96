"""Accounts that a test writes down, as a chain would show them; token mints and token accounts in their real layout."""

from collections.abc import Mapping, Sequence

from solders.pubkey import Pubkey

from trading.errors import ChainUnavailable
from trading.model.chain import AccountSeen

TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"


class ScriptedAccounts:
    """``is_away``: no endpoint answers."""

    def __init__(self) -> None:
        self.held: dict[str, AccountSeen] = {}
        self.is_away = False
        self.reads = 0

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        self.reads += 1
        if self.is_away:
            raise ChainUnavailable("no endpoint answers")
        return {address: self.held.get(address) for address in addresses}

    def put(self, address: str, data: bytes, owner: str = TOKEN_PROGRAM) -> None:
        self.held[address] = AccountSeen(address, owner, 1, data, False, 1)

    def put_mint(self, mint: str, decimals: int) -> None:
        self.put(mint, bytes(44) + bytes([decimals, 1]) + bytes(36))

    def put_account(self, address: str, mint: str, units: int, state: int = 1) -> None:
        head = bytes(Pubkey.from_string(mint)) + bytes(32) + units.to_bytes(8, "little")
        self.put(address, head + bytes(36) + bytes([state]) + bytes(165 - len(head) - 37))
