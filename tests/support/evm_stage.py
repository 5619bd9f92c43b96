"""Execution on the local EVM, with everything real but the node's time of mining: journal, signer, nodes, machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.support.evm import CHAIN_ID, OUR_ADDRESS, OUR_KEY, Evm, ShiftedClock, call_data, nodes_of
from trading.adapters.evm.journal import SqlEvmJournal
from trading.adapters.evm.nodes import EvmNodes
from trading.adapters.evm.pool_reader import PoolReader
from trading.adapters.evm.preparing import FeeTerms, MandatedPreparer
from trading.adapters.evm.signer import EvmKey, MandatedSigner
from trading.arbitrage.evm_executor import EvmExecutor, EvmParts, EvmRules
from trading.arbitrage.pools import swap
from trading.errors import ChainUnavailable
from trading.model.evm import FINAL, EvmIntent, EvmMandate, EvmRecord, EvmState, PoolKind, PoolRef
from trading.model.units import NS_PER_S

ACCOUNT = OUR_ADDRESS.lower()
FEE_WEI_MAX = 5 * 10**15
RULES = EvmRules(confirmations=3, poll_s=0.01, final_poll_s=0.01, bump_after_s=10, backoff_s=0.01, backoff_cap_s=0.02)
ENDS = FINAL | {EvmState.CONFIRMED, EvmState.NEEDS_REVIEW}
STEPS_MAX = 60


@dataclass
class EvmStage:
    evm: Evm
    path: Path
    clock: ShiftedClock
    mandate: EvmMandate
    nodes: EvmNodes
    reader: PoolReader
    journal: SqlEvmJournal
    executor: EvmExecutor

    def rebuilt(self, *, chain: Any = None, journal: Any = None, mandate: EvmMandate | None = None) -> "EvmStage":
        """The same place after a restart of the process, with parts of it replaced."""
        mandate = mandate or self.mandate
        opened = journal or SqlEvmJournal.at(self.path, self.clock.now_ns)
        preparer = MandatedPreparer(self.nodes, self.reader, mandate, FeeTerms())
        signer = MandatedSigner(EvmKey(SecretStr(OUR_KEY)), mandate)
        parts = EvmParts(opened, chain or self.nodes, preparer, signer)
        executor = EvmExecutor(parts, mandate, RULES, self.clock.now_ns)
        return replace(self, mandate=mandate, journal=opened, executor=executor)

    def pool(self, kind: PoolKind = PoolKind.CONCENTRATED) -> PoolRef:
        return next(each for each in self.mandate.pools if each.kind is kind)

    async def quoted(self, kind: PoolKind, amount: int, *, gives_0: bool = True) -> int:
        found = swap((await self.reader.read(self.pool(kind))).pool, amount, gives_0=gives_0)
        assert found is not None
        return found.amount_out

    def intent(self, key: str = "leg-1", kind: PoolKind = PoolKind.CONCENTRATED, **changes: Any) -> EvmIntent:
        pool, now_ns = self.pool(kind), self.clock.now_ns()
        wanted = EvmIntent(
            id=f"evm-{key}",
            key=key,
            account=ACCOUNT,
            pool=pool,
            in_token=pool.token_0,
            out_token=pool.token_1,
            amount_in=10**18,
            min_out=10**17,
            fee_wei_max=FEE_WEI_MAX,
            attempts_max=4,
            created_ns=now_ns,
            deadline_ns=now_ns + 3_600 * NS_PER_S,
        )
        return replace(wanted, **changes)

    async def until(self, intent_id: str, ends: frozenset[EvmState] = ENDS, *, mines: bool = True) -> EvmRecord:
        """Take steps, a block after each, until the intent is as wished."""
        problem = ""
        for _ in range(STEPS_MAX):
            known = self.journal.record(intent_id)
            if known.state in ends:
                return known
            try:
                await self.executor.step(intent_id)
            except ChainUnavailable as error:
                problem = str(error)
            if mines:
                self.evm.mine()
        raise AssertionError(self.journal.record(intent_id), problem)

    async def carried(self, intent: EvmIntent) -> EvmRecord:
        await self.executor.take(intent)
        return await self.until(intent.id)

    def allow(self, amount: int) -> None:
        """The router may take so much already, as after an earlier swap that did not come about."""
        self.evm.rpc("anvil_impersonateAccount", ACCOUNT)
        data = call_data("approve(address,uint256)", self.evm.router, amount)
        self.evm.send(self.evm.token_0, data, sender=ACCOUNT)

    def holdings(self) -> tuple[int, int, int]:
        wei = int(self.evm.rpc("eth_getBalance", ACCOUNT, "latest"), 16)
        return self.evm.balance(self.evm.token_0), self.evm.balance(self.evm.token_1), wei


@asynccontextmanager
async def staged(evm: Evm, folder: Path, *urls: str, timeout_s: float = 20.0) -> AsyncIterator[EvmStage]:
    clock, path = ShiftedClock(), folder / "evm.db"
    async with nodes_of(*(urls or (evm.url,)), timeout_s=timeout_s) as nodes, nodes_of(evm.url) as direct:
        describe = PoolReader(direct).describe
        pools = (
            await describe(evm.pool, PoolKind.CONCENTRATED, evm.v3_factory),
            await describe(evm.pair, PoolKind.CONSTANT_PRODUCT, evm.v2_factory),
        )
        tokens = {evm.token_0.lower(): 10**22, evm.token_1.lower(): 10**22}
        mandate = EvmMandate(CHAIN_ID, ACCOUNT, evm.router.lower(), pools, tokens, tokens, FEE_WEI_MAX)
        journal = SqlEvmJournal.at(path, clock.now_ns)
        reader = PoolReader(nodes, words=1)
        empty = EvmStage(evm, path, clock, mandate, nodes, reader, journal, None)  # type: ignore[arg-type]
        yield empty.rebuilt(journal=journal)
