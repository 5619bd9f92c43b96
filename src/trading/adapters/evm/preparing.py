"""Turns an open intent into a transaction: what the pool gives now, what it may cost, and whether it would revert."""

from dataclasses import dataclass, replace
from typing import Final

from trading.adapters.evm.calls import allowed, answer, call_data, moved, swaps_in
from trading.adapters.evm.nodes import EvmNodes
from trading.adapters.evm.signer import CANCEL_GAS, expected_call
from trading.arbitrage.evm_ports import EvmReader
from trading.arbitrage.pools import BeyondRead, swap
from trading.errors import ChainUnavailable, DataError, RouteRefused
from trading.model.evm import EvmIntent, EvmKind, EvmMandate, EvmRecord, EvmSettlement, EvmTx, Receipt
from trading.model.units import ceil_div

GAS_ORACLE: Final = "0x420000000000000000000000000000000000000f"
"""Where chains of the OP stack, Base among them, tell what a transaction's data costs on the chain below."""
_GAS_MARGIN_PERCENT: Final = 150
_GAS_ROOM: Final = 60_000
"""A swap writes what it did not write where it was estimated: a pair's sums of prices (two words, new ones 22,100 gas
each) when a second has passed, a tick more when the price moved. Gas that is not used is not charged."""
_DEARER_PERMILLE: Final = 1_125
"""A node takes a replacement from a tenth more on; this is an eighth."""
_SWAP_BYTES: Final = 900
_EMPTY_BYTES: Final = 120


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """The tip is what nodes advise, held between two bounds. ``has_l1_fee``: the chain charges for data (Base does)."""

    tip_wei_min: int = 1
    tip_wei_max: int = 2_000_000_000
    has_l1_fee: bool = False


class MandatedPreparer:
    """Body of ``EvmPreparer``."""

    def __init__(self, nodes: EvmNodes, reader: EvmReader, mandate: EvmMandate, fees: FeeTerms) -> None:
        self._nodes = nodes
        self._reader = reader
        self._mandate = mandate
        self._fees = fees

    async def allowance(self, intent: EvmIntent) -> int:
        """Return how much of the given token the router may take now."""
        data = call_data("allowance", ("address", "address"), (intent.account, self._mandate.router))
        told = await self._nodes.with_one(lambda each: each.call(intent.in_token, data))
        return int(answer(("uint256",), told, "allowance")[0])

    async def first(self, known: EvmRecord, nonce: int) -> tuple[EvmTx, int, int]:
        intent = known.intent
        quoted, at = (0, 0) if intent.kind is EvmKind.ALLOW else await self._quoted(intent)
        to, data = expected_call(self._mandate, intent)
        gas = await self._nodes.with_one(lambda each: each.gas_for(intent.account, to, data))
        gas = min(gas * _GAS_MARGIN_PERCENT // 100 + _GAS_ROOM, self._mandate.gas_max)
        tip = await self._nodes.with_one(lambda each: each.tip_wei())
        tip = min(max(tip, self._fees.tip_wei_min), self._fees.tip_wei_max)
        base = (await self._nodes.head()).base_fee_wei
        tx = EvmTx(self._mandate.chain_id, nonce, to, data, gas, 2 * base + tip, tip)
        room = self._cap(intent) - await self._l1_fee_wei(_SWAP_BYTES)
        if tx.gas_wei_max > room and gas * (base + tip) <= room:
            tx = replace(tx, max_fee_wei=room // gas)  # less room for a rising base fee, and still enough for now
        if tx.gas_wei_max > room:
            msg = f"it may cost {tx.gas_wei_max} wei, and {room} are left of what is allowed"
            raise RouteRefused(msg, reason="fee_cap")
        has_wei = await self._nodes.with_one(lambda each: each.balance_wei(intent.account))
        if has_wei < tx.gas_wei_max:
            msg = f"{intent.account} has {has_wei} wei, and up to {tx.gas_wei_max} may be charged"
            raise RouteRefused(msg, reason="no_gas_money")
        return tx, quoted, at

    async def dearer(self, known: EvmRecord) -> EvmTx | None:
        newest = known.attempts[-1]
        to, data = expected_call(self._mandate, known.intent)
        return await self._raised(known, EvmTx(self._mandate.chain_id, newest.nonce, to, data, newest.gas, 0, 0))

    async def emptying(self, known: EvmRecord) -> EvmTx | None:
        nonce, account = known.attempts[-1].nonce, self._mandate.account
        return await self._raised(known, EvmTx(self._mandate.chain_id, nonce, account, b"", CANCEL_GAS, 0, 0))

    def settled(self, known: EvmRecord, receipt: Receipt) -> EvmSettlement:
        intent, account = known.intent, known.intent.account
        found = EvmSettlement(
            intent.id,
            receipt.tx_hash,
            receipt.block_number,
            receipt.block_hash,
            0,
            0,
            receipt.fee_wei,
            receipt.l1_fee_wei,
        )
        if intent.kind is EvmKind.ALLOW:
            if allowed(receipt.logs, intent.in_token, account, self._mandate.router) != intent.amount_in:
                msg = f"{receipt.tx_hash} succeeded, and its logs do not tell of the allowance that was wished"
                raise DataError(msg)
            return found
        given, returned = moved(receipt.logs, intent.in_token, account)
        paid, got = moved(receipt.logs, intent.out_token, account)
        is_one = swaps_in(receipt.logs, intent.pool) == 1
        if not is_one or (given, returned, paid) != (intent.amount_in, 0, 0) or got < intent.min_out:
            msg = (
                f"{receipt.tx_hash} succeeded, and its logs tell of {given} given and {got} got in "
                f"{swaps_in(receipt.logs, intent.pool)} swaps, not of {intent.amount_in} for at least {intent.min_out}"
            )
            raise DataError(msg)
        return replace(found, amount_in=given, amount_out=got)

    async def _quoted(self, intent: EvmIntent) -> tuple[int, int]:
        """Return what the pool gives now and at which block. Raises: RouteRefused where that is not enough."""
        data = call_data("balanceOf", ("address",), (intent.account,))
        told = await self._nodes.with_one(lambda each: each.call(intent.in_token, data))
        (has,) = answer(("uint256",), told, "balanceOf")
        if has < intent.amount_in:
            msg = f"{intent.account} has {has} of {intent.in_token}, and {intent.amount_in} would be given"
            raise RouteRefused(msg, reason="no_balance")
        seen = await self._reader.read(intent.pool)
        try:
            found = swap(seen.pool, intent.amount_in, gives_0=intent.in_token == intent.pool.token_0)
        except BeyondRead as error:
            raise RouteRefused(str(error), reason="beyond_read") from error
        got = 0 if found is None else found.amount_out
        if got < intent.min_out:
            msg = f"the pool gives {got} at block {seen.block.number}, and at least {intent.min_out} are wished"
            raise RouteRefused(msg, reason="slippage")
        if not await self._reader.is_current(seen.block):
            msg = f"block {seen.block.number} is no part of the chain any more"
            raise ChainUnavailable(msg, hint="it is read again")
        return got, seen.block.number

    async def _raised(self, known: EvmRecord, tx: EvmTx) -> EvmTx | None:
        """Return a transaction with fees that replace the newest attempt, None where they are above the cap."""
        newest = known.attempts[-1]
        base = (await self._nodes.head()).base_fee_wei
        tip = ceil_div(newest.tip_wei * _DEARER_PERMILLE, 1_000) + 1
        most = max(ceil_div(newest.max_fee_wei * _DEARER_PERMILLE, 1_000) + 1, 2 * base + tip)
        raised = replace(tx, max_fee_wei=most, tip_wei=tip)
        room = self._cap(known.intent) - await self._l1_fee_wei(_SWAP_BYTES if tx.data else _EMPTY_BYTES)
        return raised if raised.gas_wei_max <= room else None

    def _cap(self, intent: EvmIntent) -> int:
        return min(intent.fee_wei_max, self._mandate.fee_wei_max)

    async def _l1_fee_wei(self, size_bytes: int) -> int:
        """Return the most that so many bytes cost on the chain below now. No bound of ours can be put on that fee."""
        if not self._fees.has_l1_fee:
            return 0
        data = call_data("getL1FeeUpperBound", ("uint256",), (size_bytes,))
        told = await self._nodes.with_one(lambda each: each.call(GAS_ORACLE, data))
        return int(answer(("uint256",), told, "getL1FeeUpperBound")[0])
