"""What a chain says, as values: whoever asks gets these from any endpoint, whatever its client library does."""

from dataclasses import dataclass, field
from enum import StrEnum

from .intent import IntentKind, OwnAccount


class Commitment(StrEnum):
    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True)
class BlockhashSeen:
    """``last_valid_block_height``: a transaction with this blockhash can land up to that block, not after."""

    blockhash: str
    last_valid_block_height: int
    context_slot: int


@dataclass(frozen=True, slots=True)
class HeightSeen:
    """How far one endpoint is. ``block_height`` counts blocks, ``slot`` also those that nobody made."""

    endpoint: str
    slot: int
    block_height: int


@dataclass(frozen=True, slots=True)
class AccountSeen:
    """``data`` is raw; an account that does not exist is None where one of these is expected."""

    address: str
    owner: str
    lamports: int
    data: bytes
    is_executable: bool
    context_slot: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """``error`` is empty where the transaction would succeed, else the chain's error as canonical JSON.

    ``accounts`` are those that were asked for, as the transaction would leave them.
    """

    error: str
    compute_units: int
    logs: tuple[str, ...]
    accounts: dict[str, AccountSeen | None]
    context_slot: int


@dataclass(frozen=True, slots=True)
class StatusSeen:
    """A transaction that an endpoint knows. ``error`` is empty for one that succeeded."""

    signature: str
    slot: int
    commitment: Commitment
    error: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class AbsenceProof:
    """Why a transaction can never land: at ``sources`` different endpoints the finalized height was read past
    ``last_valid_block_height``, and after that, its status with the whole history searched was: not known."""

    signature: str
    last_valid_block_height: int
    heights: tuple[HeightSeen, ...]


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """Base units of a mint in one account of a transaction, before and after it; None: the account did not exist."""

    account: str
    owner: str
    mint: str
    before_units: int | None
    after_units: int | None


@dataclass(frozen=True, slots=True)
class TransactionSeen:
    """A finalized transaction. ``lamports`` maps each account to its native balance before and after.

    The fee is what the payer's balance says, not ``meta.fee``: one endpoint was seen to report it too low.
    """

    signature: str
    slot: int
    block_time_s: int | None
    error: str
    payer: str
    lamports: dict[str, tuple[int, int]]
    tokens: tuple[TokenBalance, ...]
    logs: tuple[str, ...] = ()
    raw: bytes = b""
    endpoint: str = ""
    reported_fee_lamports: int = 0


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What one endpoint says of a finalized transaction: ``seen`` None where it does not have it. ``problem``: why it
    says nothing at all, "" where it does."""

    endpoint: str
    seen: TransactionSeen | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SignatureSeen:
    """One entry of an address's history, newest first as the chain gives them."""

    signature: str
    slot: int
    block_time_s: int | None
    error: str


@dataclass(frozen=True, slots=True)
class MintSeen:
    """What a mint account says. Authorities are "" where there is none. ``extensions`` are the names of all Token-2022
    extensions it carries; ``unknown_extensions`` the numbers of those that we do not know: not to be traded.

    ``transfer_fee_bps`` is the highest that is set, now or for the next epoch. The last four say what may change: who
    can set another fee or another hook, and who can stop all transfers, or has."""

    mint: str
    token_program: str
    decimals: int
    supply_units: int
    mint_authority: str
    freeze_authority: str
    transfer_fee_bps: int
    transfer_fee_max_units: int
    transfer_hook: str
    permanent_delegate: str
    is_frozen_by_default: bool
    is_non_transferable: bool
    extensions: tuple[str, ...] = ()
    unknown_extensions: tuple[int, ...] = ()
    transfer_fee_authority: str = ""
    transfer_hook_authority: str = ""
    pause_authority: str = ""
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class InstructionWanted:
    """An instruction as a router names it: accounts are (address, is_signer, is_writable)."""

    program: str
    accounts: tuple[tuple[str, bool, bool], ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class SwapWanted:
    """What a router is asked for: an exact-in swap by ``wallet``."""

    wallet: str
    in_mint: str
    out_mint: str
    amount_in: int
    slippage_bps: int
    max_accounts: int = 64
    dexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SwapOffer:
    """A router's offer, to be built into a transaction that we alone sign.

    ``price_impact_bps`` rounds up. ``compute_unit_price_micro_lamports`` is the router's advice, to be clamped by our
    own cap. ``lookup_tables`` maps a table's address to the addresses it holds, in its order. ``venues`` are the
    labels of the pools on the route; ``label`` is what the end user must be shown the route as.
    ``quote`` is the router's answer as canonical JSON.
    """

    wanted: SwapWanted
    out_units: int
    min_out_units: int
    price_impact_bps: int
    venues: tuple[str, ...]
    label: str
    compute_unit_price_micro_lamports: int
    setup: tuple[InstructionWanted, ...]
    swap: InstructionWanted
    cleanup: tuple[InstructionWanted, ...]
    others: tuple[InstructionWanted, ...]
    lookup_tables: dict[str, tuple[str, ...]]
    blockhash: BlockhashSeen | None
    received_ns: int
    quote: str = ""


@dataclass(frozen=True, slots=True)
class OrderOffer:
    """A router's offer as a whole transaction that our wallet, and nobody else, is to sign. Not signed yet.

    ``transaction`` is the wire form with an empty signature. ``request_id`` is what the router wants to have back with
    the signed bytes. ``fee_bps`` is what it takes for itself; ``priority_fee_lamports`` includes tips.
    """

    wanted: SwapWanted
    out_units: int
    min_out_units: int
    price_impact_bps: int
    venues: tuple[str, ...]
    label: str
    transaction: bytes
    request_id: str
    last_valid_block_height: int
    fee_bps: int
    priority_fee_lamports: int
    received_ns: int
    quote: str = ""


@dataclass(frozen=True, slots=True)
class PricePoint:
    """The price of one whole token in SOL, as ``numerator / denominator`` lamports a base unit, by one source."""

    mint: str
    source: str
    lamports_numerator: int
    base_units_denominator: int
    ts_ns: int
    confidence_bps: int = 0


@dataclass(frozen=True, slots=True)
class SignWanted:
    """What a signer is asked to sign: the message of one attempt, and the figures it is to be checked against.

    ``reason`` is for the operator, where he is asked; nothing is decided by it. ``kind``, ``to_address`` and
    ``accounts`` are those of the intent."""

    intent_id: str
    attempt: int
    wallet: str
    message: bytes
    in_mint: str
    out_mint: str
    amount_in: int
    min_out: int
    fee_lamports_max: int
    last_valid_block_height: int
    is_exit: bool
    venues: tuple[str, ...] = field(default=())
    reason: str = ""
    kind: IntentKind = IntentKind.SWAP
    to_address: str = ""
    accounts: tuple[OwnAccount, ...] = ()
