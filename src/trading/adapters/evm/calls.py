"""The words of the contracts: what is asked of pools, tokens and the router, and what their answers and logs say."""

from collections.abc import Sequence
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from trading.errors import ChainUnavailable
from trading.model.evm import Log, PoolKind, PoolRef

TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
APPROVAL: Final = "0x" + keccak(text="Approval(address,address,uint256)").hex()
SWAPPED: Final = {
    PoolKind.CONSTANT_PRODUCT: "0x" + keccak(text="Swap(address,uint256,uint256,uint256,uint256,address)").hex(),
    PoolKind.CONCENTRATED: "0x" + keccak(text="Swap(address,address,int256,int256,uint160,uint128,int24)").hex(),
}
_SINGLE: Final = "(address,address,uint24,address,uint256,uint256,uint160)"


def call_data(name: str, types: Sequence[str] = (), values: Sequence[Any] = ()) -> bytes:
    """Return the bytes of a call: the function's first four of its hash, and what it is given."""
    return keccak(text=f"{name}({','.join(types)})")[:4] + encode(types, values)


def answer(types: Sequence[str], data: bytes, what: str) -> tuple[Any, ...]:
    """Return what an answer holds. Raises: ChainUnavailable where it is none of this shape."""
    try:
        return decode(types, data)
    except (DecodingError, OverflowError, ValueError) as error:
        msg = f"{what}: the answer has {len(data)} bytes that are no ({', '.join(types)})"
        raise ChainUnavailable(msg, hint="is there such a contract at this address?") from error


def approve_data(spender: str, amount: int) -> bytes:
    return call_data("approve", ("address", "uint256"), (spender, amount))


def swap_data(pool: PoolRef, in_token: str, amount_in: int, min_out: int, terms: tuple[str, int]) -> bytes:
    """Return the call of the router (``SwapRouter02``) for one swap; ``terms`` are the recipient and the deadline.

    It goes through ``multicall(deadline, ...)``: the router refuses it in a block later than the deadline, in Unix
    seconds, and so does it where less than ``min_out`` would come out.
    """
    recipient, deadline_s = terms
    out_token = pool.token_1 if in_token == pool.token_0 else pool.token_0
    if pool.kind is PoolKind.CONCENTRATED:
        wanted = (in_token, out_token, pool.fee_ppm, recipient, amount_in, min_out, 0)
        inner = call_data("exactInputSingle", (_SINGLE,), (wanted,))
    else:
        types = ("uint256", "uint256", "address[]", "address")
        inner = call_data("swapExactTokensForTokens", types, (amount_in, min_out, [in_token, out_token], recipient))
    return call_data("multicall", ("uint256", "bytes[]"), (deadline_s, [inner]))


def moved(logs: Sequence[Log], token: str, account: str) -> tuple[int, int]:
    """Return how much of a token the logs say left an account and came to it."""
    out, into = 0, 0
    for each in logs:
        if each.address != token or len(each.topics) != 3 or each.topics[0] != TRANSFER or len(each.data) != 32:
            continue
        amount = int.from_bytes(each.data)
        out += amount if _address_in(each.topics[1]) == account else 0
        into += amount if _address_in(each.topics[2]) == account else 0
    return out, into


def swaps_in(logs: Sequence[Log], pool: PoolRef) -> int:
    """Return how many swaps of a pool the logs hold."""
    return sum(each.address == pool.address and each.topics[:1] == (SWAPPED[pool.kind],) for each in logs)


def allowed(logs: Sequence[Log], token: str, account: str, spender: str) -> int | None:
    """Return the allowance that the logs say was given last, None for none."""
    found = None
    for each in logs:
        if each.address != token or len(each.topics) != 3 or each.topics[0] != APPROVAL or len(each.data) != 32:
            continue
        if (_address_in(each.topics[1]), _address_in(each.topics[2])) == (account, spender):
            found = int.from_bytes(each.data)
    return found


def _address_in(topic: str) -> str:
    return "0x" + topic[-40:]
