"""A signer that asks nothing: what it signs is whatever passed the checks before it. A body of ``ports.Signer``."""

from collections.abc import Sequence

from solders.keypair import Keypair

from trading.errors import SigningRefused
from trading.model.chain import SignWanted


class PlainSigner:
    """``asked`` keeps what it was asked to sign."""

    def __init__(self, *keys: Keypair) -> None:
        self._keys = {str(key.pubkey()): key for key in keys}
        self.asked: list[SignWanted] = []

    async def wallets(self) -> Sequence[str]:
        return tuple(self._keys)

    async def sign(self, wanted: SignWanted) -> bytes:
        self.asked.append(wanted)
        if wanted.wallet not in self._keys:
            raise SigningRefused("not a wallet of this signer", reasons=("wallet",))
        return bytes(self._keys[wanted.wallet].sign_message(wanted.message))
