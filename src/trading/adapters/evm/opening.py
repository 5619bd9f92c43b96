"""Opens an EVM chain from its section: nodes, reader and pools; and, with a key and a mandate, what swaps there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from trading.adapters.evm.endpoint import EvmEndpoint
from trading.adapters.evm.nodes import EvmNodes
from trading.adapters.evm.pool_reader import PoolReader
from trading.adapters.evm.preparing import FeeTerms, MandatedPreparer
from trading.adapters.evm.signer import EvmKey, Guard, MandatedSigner
from trading.adapters.solana.endpoint import RpcEndpoint
from trading.arbitrage.evm_executor import EvmExecutor, EvmParts, EvmRules
from trading.arbitrage.evm_ports import EvmJournal
from trading.config import ChainSection, EndpointSection, EvmSection
from trading.errors import InvalidInput
from trading.model.evm import EvmMandate, PoolKind, PoolRef
from trading.ports import Clock

JOURNAL_NAME: Final = "evm.db"


@dataclass(frozen=True, slots=True)
class EvmDoor:
    """A chain that was opened: every pool is one that its factory made."""

    section: EvmSection
    clock: Clock
    nodes: EvmNodes
    reader: PoolReader
    pools: tuple[PoolRef, ...]

    def pool(self, address: str) -> PoolRef:
        """Raises: InvalidInput for a pool that is not configured."""
        found = next((each for each in self.pools if each.address == address.lower()), None)
        if found is None:
            known = ", ".join(each.address for each in self.pools) or "none"
            msg = f"pool: one of {known}, not {address[:60]!r}"
            raise InvalidInput(msg, field="pool")
        return found

    def mandate(self, account: str, armed_until_ns: int = 0) -> EvmMandate:
        """Return what the section allows an account to do."""
        section = self.section
        return EvmMandate(
            chain_id=section.chain_id,
            account=account,
            router=section.router,
            pools=self.pools,
            token_max=dict(section.token_max),
            token_day_max=dict(section.token_day_max),
            fee_wei_max=section.fee_wei_max,
            armed_until_ns=armed_until_ns,
        )

    def executor(
        self, key: EvmKey, journal: EvmJournal, mandate: EvmMandate, guard: Guard | None = None
    ) -> EvmExecutor:
        """Return what swaps for the key's account within the mandate. Raises: InvalidInput where it is another's."""
        section = self.section
        fees = FeeTerms(tip_wei_max=section.tip_wei_max, has_l1_fee=section.has_l1_fee)
        parts = EvmParts(
            journal,
            self.nodes,
            MandatedPreparer(self.nodes, self.reader, mandate, fees),
            MandatedSigner(key, mandate, guard),
        )
        rules = EvmRules(section.confirmations, poll_s=section.poll_s, bump_after_s=section.bump_after_s)
        return EvmExecutor(parts, mandate, rules, self.clock.now_ns)


@asynccontextmanager
async def opened(section: EvmSection, clock: Clock) -> AsyncIterator[EvmDoor]:
    """Open the chain that a section describes.

    Raises: InvalidInput where no endpoint is configured; WrongChain, ChainUnavailable; RouteRefused for a pool that
    its factory does not know.
    """
    if not section.endpoints:
        msg = "evm.endpoints is empty, so no EVM chain is asked"
        raise InvalidInput(msg, field="evm.endpoints", hint="TRADING_EVM__ENDPOINTS is a JSON list of addresses")
    bounds = ChainSection(
        timeout_s=section.timeout_s,
        response_bytes_max=section.response_bytes_max,
        attempts_max=section.attempts_max,
    )
    endpoints = [
        EvmEndpoint(
            RpcEndpoint(
                f"evm-{number}", EndpointSection(url=url, calls_per_second=section.calls_per_second), bounds, clock
            )
        )
        for number, url in enumerate(section.endpoints, 1)
    ]
    nodes = EvmNodes(endpoints, section.chain_id, section.stale_s_max, clock)
    try:
        await nodes.pin()
        reader = PoolReader(nodes, words=section.words, ticks_max=section.ticks_max)
        factories = {PoolKind.CONSTANT_PRODUCT: section.v2_factory, PoolKind.CONCENTRATED: section.v3_factory}
        pools = [await reader.describe(each.address, each.kind, factories[each.kind]) for each in section.pools]
        yield EvmDoor(section, clock, nodes, reader, tuple(pools))
    finally:
        await nodes.aclose()
