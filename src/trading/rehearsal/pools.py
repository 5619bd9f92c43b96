"""Pools of the rehearsal chain: what lies where, what a swap gives to the unit, and the instruction that does it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from .cluster import Cluster
from .tokens import (
    MINT_BYTES,
    NATIVE_MINT,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    associated,
    mint_account,
    token_account,
    token_balance,
)

ROUTER_PROGRAM: Final = Pubkey.from_string("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4")
"""The pool program lies at Jupiter's address, so that a client meets what it will meet."""
ROUTE_DISCRIMINATOR: Final = hashlib.sha256(b"global:route_v2").digest()[:8]
EVENT_AUTHORITY: Final = Pubkey.from_string("D8cy77BBepLMngZx6ZukaTff5hCt1HrWyKk3Hnd9oitf")
BPS_ONE: Final = 10_000
_BINARY: Final = Path(__file__).parent / "programs" / "swap.so"
_HOP_KIND: Final = 1


def install(cluster: Cluster) -> None:
    """Put the pool program in place."""
    cluster.add_program(ROUTER_PROGRAM, pool_binary())


def pool_binary() -> bytes:
    """Return the pool program as it is deployed."""
    return _BINARY.read_bytes()


@dataclass(frozen=True)
class Pool:
    """A constant-product pool of SOL and a token, or of two tokens. ``programs``: the token program of each mint."""

    id: Pubkey
    mints: tuple[Pubkey, Pubkey]
    fee_bps: int
    programs: tuple[Pubkey, Pubkey] = (TOKEN_PROGRAM, TOKEN_PROGRAM)
    label: str = "Rehearsal"

    @cached_property
    def _derived(self) -> tuple[Pubkey, int]:
        seeds = [b"pool", bytes(self.id), self.fee_bps.to_bytes(2, "little")]
        return Pubkey.find_program_address(seeds, ROUTER_PROGRAM)

    @property
    def authority(self) -> Pubkey:
        return self._derived[0]

    def vault(self, mint: Pubkey) -> Pubkey:
        return associated(self.authority, mint, self.program(mint))

    def program(self, mint: Pubkey) -> Pubkey:
        return self.programs[self.mints.index(mint)]

    def other(self, mint: Pubkey) -> Pubkey:
        return self.mints[1 - self.mints.index(mint)]

    def reserves(self, cluster: Cluster, in_mint: Pubkey) -> tuple[int, int]:
        """Return what the pool has of the mint that comes in and of the one that goes out, in base units."""
        have = token_balance(cluster.account(self.vault(in_mint)))
        want = token_balance(cluster.account(self.vault(self.other(in_mint))))
        return (have.units if have else 0), (want.units if want else 0)

    def quote(
        self, cluster: Cluster, in_mint: Pubkey, amount: int, kept: Callable[[Pubkey, int], int] | None = None
    ) -> int:
        """Return what the program would give for an amount now. ``kept``: the fee that a mint keeps of a transfer."""
        have, want = self.reserves(cluster, in_mint)
        arrived = amount - (kept(in_mint, amount) if kept else 0)
        net = arrived - -(-arrived * self.fee_bps // BPS_ONE)
        out = want * net // (have + net) if have + net else 0
        return out - (kept(self.other(in_mint), out) if kept else 0)

    def instruction(self, user: Pubkey, in_mint: Pubkey, amount: int, quoted: int, slippage_bps: int) -> Instruction:
        """Return the swap, as `route_v2` of the router has it."""
        out_mint = self.other(in_mint)
        in_program, out_program = self.program(in_mint), self.program(out_mint)
        hop = bytes([_HOP_KIND, self._derived[1]]) + self.fee_bps.to_bytes(2, "little")
        hop += BPS_ONE.to_bytes(2, "little") + bytes([0, 1])
        head = amount.to_bytes(8, "little") + quoted.to_bytes(8, "little") + slippage_bps.to_bytes(2, "little")
        data = ROUTE_DISCRIMINATOR + head + bytes(4) + (1).to_bytes(4, "little") + hop
        fixed = ROUTER_PROGRAM
        accounts = [
            AccountMeta(user, True, False),
            AccountMeta(associated(user, in_mint, in_program), False, True),
            AccountMeta(associated(user, out_mint, out_program), False, True),
            AccountMeta(in_mint, False, False),
            AccountMeta(out_mint, False, False),
            AccountMeta(in_program, False, False),
            AccountMeta(out_program, False, False),
            AccountMeta(fixed, False, False),
            AccountMeta(EVENT_AUTHORITY, False, False),
            AccountMeta(fixed, False, False),
            AccountMeta(self.id, False, False),
            AccountMeta(self.authority, False, False),
            AccountMeta(self.vault(in_mint), False, True),
            AccountMeta(self.vault(out_mint), False, True),
        ]
        return Instruction(fixed, data, accounts)


def make_token(cluster: Cluster, name: str, decimals: int = 6, supply: int = 10**15, **more: Any) -> Pubkey:
    """Make a mint that nobody can mint more of, and return its address, which depends on the name only.

    ``more``: ``freezer``, ``program``, ``transfer_fee_bps``, as ``tokens.mint_account`` takes them.
    """
    mint = mint_of(name)
    cluster.set_account(mint, mint_account(None, supply, decimals, **more))
    return mint


def mint_of(name: str) -> Pubkey:
    """Return the address of the token that ``make_token`` makes under a name."""
    return Pubkey.from_bytes(hashlib.sha256(b"rehearsal token " + name.encode()).digest())


def make_pool(cluster: Cluster, token: Pubkey, lamports: int, units: int, fee_bps: int = 25) -> Pool:
    """Put a pool of SOL and a token in place with these reserves."""
    return pool_between(cluster, (NATIVE_MINT, lamports), (token, units), fee_bps)


def pool_between(cluster: Cluster, first: tuple[Pubkey, int], second: tuple[Pubkey, int], fee_bps: int = 25) -> Pool:
    """Put a pool of two mints in place with these reserves in base units."""
    pool = pool_of(cluster, (first[0], second[0]), fee_bps)
    for mint, units in (first, second):
        account = cluster.account(mint)
        withholds = account is not None and len(account.data) > MINT_BYTES
        held = token_account(mint, pool.authority, units, pool.program(mint), withholds=withholds)
        cluster.set_account(pool.vault(mint), held)
    cluster.set_account(pool.id, Account(1_000_000, b"", Pubkey.default()))
    return pool


def pool_of(cluster: Cluster, mints: tuple[Pubkey, Pubkey], fee_bps: int = 25) -> Pool:
    """Return the pool of two mints of the chain as it is addressed, whether it is there or not."""
    digest = hashlib.sha256(b"rehearsal pool " + bytes(mints[0]) + bytes(mints[1])).digest()
    programs = (_program_of(cluster, mints[0]), _program_of(cluster, mints[1]))
    return Pool(Pubkey.from_bytes(digest), mints, fee_bps, programs)


def _program_of(cluster: Cluster, mint: Pubkey) -> Pubkey:
    account = cluster.account(mint)
    if account is None or account.owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM) or len(account.data) < MINT_BYTES:
        msg = f"{mint} is no mint of this chain"
        raise ValueError(msg)
    return account.owner
