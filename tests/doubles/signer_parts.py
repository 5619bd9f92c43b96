"""Bodies of what the signer is handed: a chain whose heights a test sets, and a check that goes by one word."""

from collections.abc import Sequence

from tests.support.signing import REHEARSAL_GENESIS

from trading.errors import ChainUnavailable
from trading.model.chain import AccountSeen, SignWanted
from trading.model.mandate import Mandate
from trading.signing.chain_view import ChainView
from trading.signing.policy import HeightsSeen


class SetChain:
    """One for all endpoints. ``is_gone``: none of them answers."""

    def __init__(self) -> None:
        self.seen = HeightsSeen(finalized=1_000, confirmed=1_032)
        self.genesis = REHEARSAL_GENESIS
        self.held: dict[str, tuple[str, ...]] = {}
        self.told: list[list[AccountSeen | None]] = []
        self.is_gone = False

    async def genesis_hash(self) -> str:
        self._require_there()
        return self.genesis

    async def heights(self) -> HeightsSeen:
        self._require_there()
        return self.seen

    async def tables(self, addresses: Sequence[str]) -> dict[str, tuple[str, ...]]:
        self._require_there()
        return {each: self.held[each] for each in addresses if each in self.held}

    async def accounts(self, _addresses: Sequence[str]) -> list[list[AccountSeen | None]]:
        self._require_there()
        return self.told

    def forget(self, addresses: Sequence[str]) -> None:
        """Nothing is kept."""

    async def aclose(self) -> None:
        """There is nothing to close."""

    def pass_blocks(self, count: int) -> None:
        self.seen = HeightsSeen(self.seen.finalized + count, self.seen.confirmed + count)

    def _require_there(self) -> None:
        if self.is_gone:
            msg = "no endpoint answered"
            raise ChainUnavailable(msg)


class WordCheck:
    """Takes a message for good that begins with ``swap``, and says ``unparseable`` to any other."""

    async def violations(self, wanted: SignWanted, _mandate: Mandate, _chain: ChainView) -> tuple[str, ...]:
        return () if wanted.message.startswith(b"swap") else ("unparseable",)
