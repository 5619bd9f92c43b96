"""The instructions of an offer, and what a router that cheats makes of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from .jupiter_market import Quote
from .tokens import ATA_PROGRAM, NATIVE_MINT, associated

SYSTEM: Final = Pubkey.from_string("11111111111111111111111111111111")
COMPUTE_BUDGET: Final = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
STRANGER: Final = Pubkey.from_bytes(bytes([0xEE]) * 32)
"""Who gains by a malicious offer."""
UNKNOWN_PROGRAM: Final = Pubkey.from_bytes(bytes([0xDD]) * 32)
OVERSIZED_PRICE: Final = 2**40
_CREATE_IDEMPOTENT: Final = b"\x01"
_TRANSFER: Final = 2
_TOKEN_APPROVE: Final = 4
_TOKEN_SET_AUTHORITY: Final = 6
_TOKEN_CLOSE: Final = 9
_TOKEN_SYNC_NATIVE: Final = 17
_ACCOUNT_OWNER: Final = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """An offer before it becomes JSON or a transaction. ``price`` is in micro-lamports a compute unit."""

    wallet: Pubkey
    quote: Quote
    slippage_bps: int
    setup: tuple[Instruction, ...]
    swap: Instruction
    cleanup: Instruction | None
    price: int = 0
    others: tuple[Instruction, ...] = ()
    tip: Instruction | None = None

    @property
    def all(self) -> tuple[Instruction, ...]:
        cleanup = (self.cleanup,) if self.cleanup else ()
        tip = (self.tip,) if self.tip else ()
        return (*self.setup, self.swap, *cleanup, *self.others, *tip)

    @property
    def out_mint(self) -> Pubkey:
        return self.quote.pool.other(self.quote.in_mint)

    @property
    def source(self) -> Pubkey:
        return self.account(self.quote.in_mint)

    @property
    def destination(self) -> Pubkey:
        return self.account(self.out_mint)

    def account(self, mint: Pubkey, owner: Pubkey | None = None) -> Pubkey:
        """Return the token account of the wallet, or of another owner."""
        return associated(owner or self.wallet, mint, self.quote.pool.program(mint))


def assemble(wallet: Pubkey, quote: Quote, slippage_bps: int, *, wraps: bool) -> Parts:
    """Return the instructions of an honest swap; ``wraps``: SOL is wrapped before it and unwrapped after it."""
    pool, in_mint = quote.pool, quote.in_mint
    swap = pool.instruction(wallet, in_mint, quote.amount_in, quote.out, slippage_bps)
    bare = Parts(wallet, quote, slippage_bps, (), swap, None)
    setup = []
    if wraps and in_mint == NATIVE_MINT:
        setup = [
            create_account(wallet, wallet, in_mint, pool.program(in_mint)),
            transfer(wallet, bare.source, quote.amount_in),
            Instruction(pool.program(in_mint), bytes([_TOKEN_SYNC_NATIVE]), [AccountMeta(bare.source, False, True)]),
        ]
    setup.append(create_account(wallet, wallet, bare.out_mint, pool.program(bare.out_mint)))
    is_wrapped = wraps and NATIVE_MINT in pool.mints
    cleanup = close(bare.account(NATIVE_MINT), wallet, wallet, pool.program(NATIVE_MINT)) if is_wrapped else None
    return replace(bare, setup=tuple(setup), cleanup=cleanup)


def create_account(payer: Pubkey, owner: Pubkey, mint: Pubkey, program: Pubkey) -> Instruction:
    accounts = [
        AccountMeta(payer, True, True),
        AccountMeta(associated(owner, mint, program), False, True),
        AccountMeta(owner, False, False),
        AccountMeta(mint, False, False),
        AccountMeta(SYSTEM, False, False),
        AccountMeta(program, False, False),
    ]
    return Instruction(ATA_PROGRAM, _CREATE_IDEMPOTENT, accounts)


def transfer(sender: Pubkey, receiver: Pubkey, lamports: int) -> Instruction:
    data = _TRANSFER.to_bytes(4, "little") + lamports.to_bytes(8, "little")
    return Instruction(SYSTEM, data, [AccountMeta(sender, True, True), AccountMeta(receiver, False, True)])


def close(account: Pubkey, receiver: Pubkey, owner: Pubkey, program: Pubkey) -> Instruction:
    accounts = [
        AccountMeta(account, False, True),
        AccountMeta(receiver, False, True),
        AccountMeta(owner, True, False),
    ]
    return Instruction(program, bytes([_TOKEN_CLOSE]), accounts)


def compute_price(micro_lamports: int) -> Instruction:
    return Instruction(COMPUTE_BUDGET, b"\x03" + micro_lamports.to_bytes(8, "little"), [])


def compute_limit(units: int) -> Instruction:
    return Instruction(COMPUTE_BUDGET, b"\x02" + units.to_bytes(4, "little"), [])


def _wrong_payer(parts: Parts) -> Parts:
    """A stranger pays for what is set up, and signs for that."""
    return replace(parts, setup=tuple(map(_paid_by_stranger, parts.setup)))


def _extra_signer(parts: Parts) -> Parts:
    accounts = [*parts.swap.accounts, AccountMeta(STRANGER, True, False)]
    return replace(parts, swap=Instruction(parts.swap.program_id, bytes(parts.swap.data), accounts))


def _unknown_program(parts: Parts) -> Parts:
    return _also(parts, Instruction(UNKNOWN_PROGRAM, b"\x00", [AccountMeta(parts.wallet, True, True)]))


def _lower_minimum(parts: Parts) -> Parts:
    """What is told stays; what is signed lets anything come out."""
    return _with_swap(parts, parts.quote.amount_in, 10_000)


def _larger_amount(parts: Parts) -> Parts:
    return _with_swap(parts, 2 * parts.quote.amount_in, parts.slippage_bps)


def _with_swap(parts: Parts, amount_in: int, slippage_bps: int) -> Parts:
    pool, quote = parts.quote.pool, parts.quote
    return replace(parts, swap=pool.instruction(parts.wallet, quote.in_mint, amount_in, quote.out, slippage_bps))


def _approve(parts: Parts) -> Parts:
    accounts = [
        AccountMeta(parts.destination, False, True),
        AccountMeta(STRANGER, False, False),
        AccountMeta(parts.wallet, True, False),
    ]
    return _also(parts, Instruction(_out_program(parts), bytes([_TOKEN_APPROVE]) + b"\xff" * 8, accounts))


def _set_authority(parts: Parts) -> Parts:
    accounts = [AccountMeta(parts.destination, False, True), AccountMeta(parts.wallet, True, False)]
    data = bytes([_TOKEN_SET_AUTHORITY, _ACCOUNT_OWNER, 1]) + bytes(STRANGER)
    return _also(parts, Instruction(_out_program(parts), data, accounts))


def _oversized_fee(parts: Parts) -> Parts:
    return replace(parts, price=OVERSIZED_PRICE)


def _swapped_mint(parts: Parts) -> Parts:
    """What comes out goes to the account of another mint, which a stranger made; nothing that is told shows it."""
    other = Pubkey.from_bytes(bytes([0xCC]) * 32)
    program = _out_program(parts)
    made = create_account(parts.wallet, parts.wallet, other, program)
    swap = _swapped(parts.swap, {parts.destination: associated(parts.wallet, other, program), parts.out_mint: other})
    return replace(parts, setup=(*parts.setup[:-1], made), swap=swap)


def _foreign_destination(parts: Parts) -> Parts:
    theirs = parts.account(parts.out_mint, STRANGER)
    return replace(parts, swap=_swapped(parts.swap, {parts.destination: theirs}))


def _drain(parts: Parts) -> Parts:
    return _also(parts, transfer(parts.wallet, STRANGER, 1_000_000))


def _close_to_stranger(parts: Parts) -> Parts:
    program = parts.quote.pool.program(parts.quote.in_mint)
    return replace(parts, cleanup=close(parts.source, STRANGER, parts.wallet, program))


def _tip(parts: Parts) -> Parts:
    return replace(parts, tip=transfer(parts.wallet, STRANGER, 1_000_000))


def _second_swap(parts: Parts) -> Parts:
    return _also(parts, parts.swap)


MALICE: Final[Mapping[str, Callable[[Parts], Parts]]] = {
    "wrong_payer": _wrong_payer,
    "extra_signer": _extra_signer,
    "unknown_program": _unknown_program,
    "lower_minimum": _lower_minimum,
    "larger_amount": _larger_amount,
    "approve": _approve,
    "set_authority": _set_authority,
    "oversized_fee": _oversized_fee,
    "swapped_mint": _swapped_mint,
    "foreign_destination": _foreign_destination,
    "drain": _drain,
    "close_to_stranger": _close_to_stranger,
    "tip": _tip,
    "second_swap": _second_swap,
}
"""Offers that nobody may sign, by what is wrong with them. What is told beside the instructions stays honest."""


def _paid_by_stranger(given: Instruction) -> Instruction:
    first, *rest = given.accounts
    payer = AccountMeta(STRANGER, True, True) if first.is_signer else first
    return Instruction(given.program_id, bytes(given.data), [payer, *rest])


def _also(parts: Parts, more: Instruction) -> Parts:
    return replace(parts, others=(*parts.others, more))


def _out_program(parts: Parts) -> Pubkey:
    return parts.quote.pool.program(parts.out_mint)


def _swapped(given: Instruction, changes: Mapping[Pubkey, Pubkey]) -> Instruction:
    accounts = [
        AccountMeta(changes.get(each.pubkey, each.pubkey), each.is_signer, each.is_writable) for each in given.accounts
    ]
    return Instruction(given.program_id, bytes(given.data), accounts)
