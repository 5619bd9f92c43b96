"""What a scripted chain holds, and the few programs that it runs: enough for a swap as our own code builds it."""

import struct
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from trading.model.chain import AccountSeen
from trading.model.intent import SOL_MINT

SYSTEM: Final = "11111111111111111111111111111111"
TOKEN: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
ATA: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
COMPUTE_BUDGET: Final = "ComputeBudget111111111111111111111111111111"
AMM: Final = "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"
"""The scripted pool answers under the id of the router's program, so that its errors are read by the same code."""
SIGNATURE_LAMPORTS: Final = 5_000
TOKEN_ACCOUNT_RENT: Final = 2_039_280
SLIPPAGE_ERROR: Final = 6_001
INSTRUCTION_UNITS: Final = 20_000


class ProgramFailed(Exception):
    """``error`` is what stands beside the instruction's number in the chain's error."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Call:
    """One instruction with its accounts resolved."""

    program: str
    accounts: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    signature: str
    payer: str
    blockhash: str
    signatures: int
    accounts: tuple[str, ...]
    calls: tuple[Call, ...]
    raw: bytes

    @property
    def fee_lamports(self) -> int:
        """Signatures, and the compute price times the limit, rounded up."""
        price, limit = 0, 200_000 * len([each for each in self.calls if each.program != COMPUTE_BUDGET])
        for call in self.calls:
            if call.program == COMPUTE_BUDGET and call.data[:1] == b"\x03":
                price = int.from_bytes(call.data[1:9], "little")
            elif call.program == COMPUTE_BUDGET and call.data[:1] == b"\x02":
                limit = int.from_bytes(call.data[1:5], "little")
        return SIGNATURE_LAMPORTS * self.signatures + -(-price * limit // 1_000_000)


@dataclass(slots=True)
class TokenAccount:
    mint: str
    owner: str
    units: int
    program: str = TOKEN

    def data(self) -> bytes:
        """Return the 165 bytes of a token account."""
        native = (1, TOKEN_ACCOUNT_RENT) if self.mint == SOL_MINT else (0, 0)
        head = bytes(Pubkey.from_string(self.mint)) + bytes(Pubkey.from_string(self.owner))
        return head + struct.pack("<Q36xBIQQ36x", self.units, 1, *native, 0)


@dataclass(slots=True)
class Pool:
    """Swaps at a fixed price: ``numerator / denominator`` base units out for one in. Set them to move the market."""

    numerator: int
    denominator: int
    is_broken: bool = False

    def out(self, amount_in: int) -> int:
        return amount_in * self.numerator // self.denominator


@dataclass(slots=True)
class Bank:
    """``tables`` maps a lookup table to its addresses; ``data`` holds accounts of any other kind; ``programs`` may be
    added to: a program changes the bank or raises ProgramFailed, and then nothing of its transaction stays."""

    lamports: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, TokenAccount] = field(default_factory=dict)
    mints: dict[str, str] = field(default_factory=lambda: {SOL_MINT: TOKEN})
    data: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    programs: "dict[str, Callable[[Bank, Call], None]]" = field(default_factory=lambda: dict(PROGRAMS))

    def give(self, wallet: str, lamports: int) -> None:
        self.lamports[wallet] = self.lamports.get(wallet, 0) + lamports

    def give_tokens(self, owner: str, mint: str, units: int, program: str = TOKEN) -> str:
        """Put tokens into the owner's associated account, which is made where it is missing; return its address."""
        self.mints.setdefault(mint, program)
        account = token_account_of(owner, mint, self.mints[mint])
        if account not in self.tokens:
            self.tokens[account] = TokenAccount(mint, owner, 0, self.mints[mint])
            self.give(account, TOKEN_ACCOUNT_RENT)
        self.tokens[account].units += units
        if mint == SOL_MINT:
            self.give(account, units)
        return account

    def units(self, owner: str, mint: str) -> int:
        """Return what the owner's token accounts hold of it."""
        return sum(each.units for each in self.tokens.values() if (each.owner, each.mint) == (owner, mint))

    def account(self, address: str, slot: int) -> AccountSeen | None:
        if address in self.tokens:
            held = self.tokens[address]
            return AccountSeen(address, held.program, self.lamports.get(address, 0), held.data(), False, slot)
        if address in self.data:
            owner, data = self.data[address]
            return AccountSeen(address, owner, self.lamports.get(address, 1), data, False, slot)
        lamports = self.lamports.get(address, 0)
        return AccountSeen(address, SYSTEM, lamports, b"", False, slot) if lamports else None

    def copied(self) -> "Bank":
        return Bank(
            dict(self.lamports),
            {address: copy(held) for address, held in self.tokens.items()},
            dict(self.mints),
            dict(self.data),
            dict(self.tables),
            self.pools,
            self.programs,
        )

    def parse(self, raw: bytes) -> Parsed:
        """Read a wire transaction. Raises: ValueError for bytes that are none."""
        transaction = VersionedTransaction.from_bytes(raw)
        message = transaction.message
        keys = [str(key) for key in message.account_keys]
        lookups = getattr(message, "address_table_lookups", [])
        for indexes in ("writable_indexes", "readonly_indexes"):
            for lookup in lookups:
                table = self.tables[str(lookup.account_key)]
                keys += [table[index] for index in getattr(lookup, indexes)]
        calls = tuple(
            Call(keys[each.program_id_index], tuple(keys[index] for index in each.accounts), bytes(each.data))
            for each in message.instructions
        )
        signatures = [str(each) for each in transaction.signatures]
        hashed = str(message.recent_blockhash)
        return Parsed(signatures[0], keys[0], hashed, len(signatures), tuple(keys), calls, raw)

    def run(self, parsed: Parsed) -> "tuple[Bank, Any]":
        """Return the bank after the transaction and its error, None where it succeeded. The fee is charged anyway."""
        paid = self.copied()
        paid.lamports[parsed.payer] = paid.lamports.get(parsed.payer, 0) - parsed.fee_lamports
        tried = paid.copied()
        for number, call in enumerate(parsed.calls):
            program = tried.programs.get(call.program)
            try:
                if program is None:
                    raise ProgramFailed("UnsupportedProgramId")
                program(tried, call)
            except ProgramFailed as failed:
                return paid, {"InstructionError": [number, failed.error]}
        return tried, None

    def _move(self, source: str, target: str, lamports: int) -> None:
        if self.lamports.get(source, 0) < lamports:
            raise ProgramFailed({"Custom": 1})
        self.lamports[source] -= lamports
        self.give(target, lamports)

    def _move_tokens(self, source: str, target: str, units: int) -> None:
        if source not in self.tokens or target not in self.tokens:
            raise ProgramFailed("InvalidAccountData")
        if self.tokens[source].units < units:
            raise ProgramFailed({"Custom": 1})
        self.tokens[source].units -= units
        self.tokens[target].units += units
        if self.tokens[source].mint == SOL_MINT:
            self._move(source, target, units)


def token_account_of(owner: str, mint: str, program: str = TOKEN) -> str:
    """Return the address of the owner's associated token account."""
    seeds = [bytes(Pubkey.from_string(each)) for each in (owner, program, mint)]
    return str(Pubkey.find_program_address(seeds, Pubkey.from_string(ATA))[0])


def amm_call(amount_in: int, min_out: int) -> bytes:
    """Return the data of a swap; its accounts: the owner, the account that pays, the account that is paid."""
    return struct.pack("<QQ", amount_in, min_out)


def _system(bank: Bank, call: Call) -> None:
    if call.data[:4] != b"\x02\x00\x00\x00":
        raise ProgramFailed("InvalidInstructionData")
    bank._move(call.accounts[0], call.accounts[1], int.from_bytes(call.data[4:12], "little"))


def _nothing(bank: Bank, call: Call) -> None:
    return


def _associated(bank: Bank, call: Call) -> None:
    payer, account, owner, mint, _, program = call.accounts[:6]
    if account in bank.tokens:
        if call.data[:1] != b"\x01":
            raise ProgramFailed("IllegalOwner")
        return
    if account != token_account_of(owner, mint, program) or bank.mints.get(mint) != program:
        raise ProgramFailed("IncorrectProgramId")
    bank._move(payer, account, TOKEN_ACCOUNT_RENT)
    bank.tokens[account] = TokenAccount(mint, owner, 0, program)


def _token(bank: Bank, call: Call) -> None:
    kind = call.data[0]
    if kind == 17:  # sync native
        held = bank.tokens[call.accounts[0]]
        held.units = bank.lamports[call.accounts[0]] - TOKEN_ACCOUNT_RENT
    elif kind == 9:  # close
        source, target = call.accounts[:2]
        held = bank.tokens[source]
        if held.units and held.mint != SOL_MINT:
            raise ProgramFailed({"Custom": 11})
        del bank.tokens[source]
        bank._move(source, target, bank.lamports[source])
    elif kind in (3, 12):  # transfer, transfer checked
        source, target = call.accounts[0], call.accounts[1 if kind == 3 else 2]
        bank._move_tokens(source, target, int.from_bytes(call.data[1:9], "little"))
    else:
        raise ProgramFailed("InvalidInstructionData")


def _amm(bank: Bank, call: Call) -> None:
    _, pays, is_paid = call.accounts[:3]
    amount_in, min_out = struct.unpack("<QQ", call.data[:16])
    source, target = bank.tokens.get(pays), bank.tokens.get(is_paid)
    if source is None or target is None:
        raise ProgramFailed("InvalidAccountData")
    pool = bank.pools.get((source.mint, target.mint))
    if pool is None or pool.is_broken:
        raise ProgramFailed({"Custom": 6_024})
    out = pool.out(amount_in)
    if out < min_out:
        raise ProgramFailed({"Custom": SLIPPAGE_ERROR})
    reserve_in = bank.give_tokens(AMM, source.mint, 0)
    reserve_out = bank.give_tokens(AMM, target.mint, out)
    bank._move_tokens(pays, reserve_in, amount_in)
    bank._move_tokens(reserve_out, is_paid, out)


PROGRAMS: Final[Mapping[str, Callable[[Bank, Call], None]]] = {
    SYSTEM: _system,
    COMPUTE_BUDGET: _nothing,
    ATA: _associated,
    TOKEN: _token,
    TOKEN_2022: _token,
    AMM: _amm,
}


def changes(before: Bank, after: Bank, accounts: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the native balance of each account before and after."""
    return {each: (before.lamports.get(each, 0), after.lamports.get(each, 0)) for each in accounts}
