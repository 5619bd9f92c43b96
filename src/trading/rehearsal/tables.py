"""Address lookup tables, put in place as the chain keeps them."""

import hashlib
from collections.abc import Sequence
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey

from .cluster import Cluster

TABLE_PROGRAM: Final = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
ADDRESSES_MAX: Final = 256
_LOOKUP_TABLE: Final = 1
_HEAD_BYTES: Final = 56


def make_table(cluster: Cluster, addresses: Sequence[Pubkey]) -> str:
    """Put a table of these addresses in place that nobody can change; usable from the next slot on.

    Raises: ValueError for more addresses than a table holds.
    """
    if len(addresses) > ADDRESSES_MAX:
        msg = f"a table holds {ADDRESSES_MAX} addresses, not {len(addresses)}"
        raise ValueError(msg)
    keys = b"".join(map(bytes, addresses))
    never, extended_slot = (2**64 - 1).to_bytes(8, "little"), cluster.slot.to_bytes(8, "little")
    head = _LOOKUP_TABLE.to_bytes(4, "little") + never + extended_slot + b"\0" + b"\0"  # extended at 0, no authority
    table = Pubkey.from_bytes(hashlib.sha256(b"rehearsal table " + keys).digest())
    data = head.ljust(_HEAD_BYTES, b"\0") + keys
    cluster.set_account(table, Account(cluster.rent(len(data)), data, TABLE_PROGRAM))
    return str(table)
