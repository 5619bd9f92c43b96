"""A blockhash that will do: young, of the chain that the other endpoints are on, with an end that is not too early."""

from dataclasses import dataclass
from typing import Final

from trading.adapters.solana.answers import context_slot, whole
from trading.adapters.solana.pool import EndpointPool, Peer
from trading.config import ChainSection
from trading.errors import ChainUnavailable
from trading.model.chain import BlockhashSeen, Commitment

_METHOD: Final = "getLatestBlockhash"


@dataclass(frozen=True, slots=True)
class _Told:
    peer: Peer
    seen: BlockhashSeen


async def newest_blockhash(pool: EndpointPool, section: ChainSection) -> BlockhashSeen:
    """Ask all endpoints, leave out those that are behind, and let another one confirm what is taken.

    The end of its life is the latest that one of them tells: told too early, a transaction would be given up while it
    can still land. Raises: ChainUnavailable, also where the endpoints do not know each other's blockhashes.
    """
    told = [_Told(peer, seen) for peer, seen in await pool.each(await pool.usable(), _METHOD, _ask)]
    for each in told:
        each.peer.slot = each.seen.context_slot
    reference = pool.reference()
    near = [each for each in told if abs(reference - each.seen.context_slot) <= section.lag_slots_max]
    if not near:
        raise ChainUnavailable(f"{_METHOD}: every endpoint that answers is behind one that answered before")
    last = max(each.seen.last_valid_block_height for each in near)
    # The oldest of the young first: it is the most likely to be known everywhere.
    for each in sorted(near, key=lambda one: one.seen.context_slot):
        witness = next((other.peer for other in near if other is not each), None)
        if witness is None or await _is_known(witness, each.seen.blockhash):
            return BlockhashSeen(each.seen.blockhash, last, each.seen.context_slot)
    names = ", ".join(each.peer.name for each in near)
    raise ChainUnavailable(f"{_METHOD}: {names} do not know each other's blockhashes: one may be on a dead fork")


async def _ask(peer: Peer) -> BlockhashSeen:
    result = await peer.endpoint.call(_METHOD, [{"commitment": Commitment.CONFIRMED}])
    value = result["value"]
    if not isinstance(value["blockhash"], str):
        raise ValueError("no blockhash")
    return BlockhashSeen(value["blockhash"], whole(value["lastValidBlockHeight"]), context_slot(result))


async def _is_known(witness: Peer, blockhash: str) -> bool:
    """Return False only where the witness says so: from an error nothing follows."""
    try:
        result = await witness.endpoint.call("isBlockhashValid", [blockhash, {"commitment": Commitment.PROCESSED}])
    except ChainUnavailable:
        return True
    return not isinstance(result, dict) or result.get("value") is not False
