"""Messages of swaps on the rehearsal chain's pool, built by hand so that a test can bend any part of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey

from tests.support.signing import SOL, WALLET
from trading.model.chain import SignWanted
from trading.rehearsal.cluster import Cluster, Level
from trading.rehearsal.pools import Pool, install, make_pool, make_token
from trading.rehearsal.tokens import ATA_PROGRAM, NATIVE_MINT, TOKEN_PROGRAM, associated

BUDGET: Final = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
SYSTEM: Final = Pubkey.from_string("11111111111111111111111111111111")
ME: Final = Pubkey.from_string(WALLET)
STRANGER: Final = Pubkey.from_bytes(bytes([99]) * 32)
AMOUNT: Final = SOL // 10
SLIPPAGE_BPS: Final = 100


def budget(limit: int = 200_000, price: int = 100_000) -> list[Instruction]:
    return [
        Instruction(BUDGET, b"\x02" + limit.to_bytes(4, "little"), []),
        Instruction(BUDGET, b"\x03" + price.to_bytes(8, "little"), []),
    ]


def create(mint: Pubkey, owner: Pubkey = ME, payer: Pubkey = ME) -> Instruction:
    accounts = [
        AccountMeta(payer, True, True),
        AccountMeta(associated(owner, mint), False, True),
        AccountMeta(owner, False, False),
        AccountMeta(mint, False, False),
        AccountMeta(SYSTEM, False, False),
        AccountMeta(TOKEN_PROGRAM, False, False),
    ]
    return Instruction(ATA_PROGRAM, b"\x01", accounts)


def transfer(to: Pubkey, lamports: int, source: Pubkey = ME) -> Instruction:
    data = b"\x02\0\0\0" + lamports.to_bytes(8, "little")
    return Instruction(SYSTEM, data, [AccountMeta(source, True, True), AccountMeta(to, False, True)])


def token(data: bytes, *accounts: Pubkey) -> Instruction:
    metas = [AccountMeta(each, each == ME, True) for each in accounts]
    return Instruction(TOKEN_PROGRAM, data, metas)


def sync(account: Pubkey | None = None) -> Instruction:
    return token(b"\x11", account or associated(ME, NATIVE_MINT))


def close(account: Pubkey | None = None, to: Pubkey = ME) -> Instruction:
    return token(b"\x09", account or associated(ME, NATIVE_MINT), to, ME)


@dataclass
class Market:
    """A chain with one pool of SOL and a token, and the wallet with ten SOL."""

    cluster: Cluster = field(default_factory=Cluster)

    def __post_init__(self) -> None:
        install(self.cluster)
        self.token = make_token(self.cluster, "signed")
        self.pool: Pool = make_pool(self.cluster, self.token, 1_000 * SOL, 10**12)
        self.cluster.airdrop(ME, 10 * SOL)
        self.cluster.tick()

    @property
    def quoted(self) -> int:
        return self.pool.quote(self.cluster, NATIVE_MINT, AMOUNT)

    def swap(self, slippage_bps: int = SLIPPAGE_BPS, amount: int = AMOUNT, quoted: int | None = None) -> Instruction:
        return self.pool.instruction(ME, NATIVE_MINT, amount, self.quoted if quoted is None else quoted, slippage_bps)

    def parts(self) -> list[Instruction]:
        """Return the instructions of a good buy."""
        wrapped = associated(ME, NATIVE_MINT)
        wrap = [create(NATIVE_MINT), transfer(wrapped, AMOUNT), sync()]
        return [*budget(), *wrap, create(self.token), self.swap(), close()]

    def message(self, parts: Sequence[Instruction] | None = None, payer: Pubkey = ME) -> bytes:
        blockhash = Hash.from_string(self.cluster.newest(Level.CONFIRMED).blockhash)
        return bytes(to_bytes_versioned(MessageV0.try_compile(payer, list(parts or self.parts()), [], blockhash)))

    def wanted(self, message: bytes) -> SignWanted:
        return SignWanted(
            intent_id="intent-1",
            attempt=1,
            wallet=WALLET,
            message=message,
            in_mint=str(NATIVE_MINT),
            out_mint=str(self.token),
            amount_in=AMOUNT,
            min_out=self.quoted * 99 // 100,
            fee_lamports_max=100_000,
            last_valid_block_height=10_000,
            is_exit=False,
        )
