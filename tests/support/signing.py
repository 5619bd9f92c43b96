"""Keys, mandates and folders for what signs. The derivation is cheap here: no test waits for 128 MiB."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from solders.pubkey import Pubkey

from trading.model.chain import SignWanted
from trading.model.intent import SOL_MINT
from trading.model.mandate import Mandate, Side
from trading.signing.keys import KeyFolder, Root
from trading.signing.secrets import Passphrase, SecretKey

PASSPHRASE: Final = "correct horse battery staple"
REHEARSAL_GENESIS: Final = str(Pubkey.from_bytes(bytes([7]) * 32))
NS_PER_S: Final = 1_000_000_000
NOW_NS: Final = 1_790_000_000 * NS_PER_S
SOL: Final = 1_000_000_000
TOKEN: Final = str(Pubkey.from_bytes(bytes([11]) * 32))
OTHER_TOKEN: Final = str(Pubkey.from_bytes(bytes([12]) * 32))
COLD: Final = str(Pubkey.from_bytes(bytes([13]) * 32))
KEY: Final = SecretKey(bytes(range(32)), REHEARSAL_GENESIS)
WALLET: Final = KEY.address


def key_folder(path: Path) -> tuple[KeyFolder, Root]:
    """Return a new folder with its root unlocked, holding ``KEY``."""
    folder = KeyFolder(path / "signer", log2_n=10)
    root = folder.create(Passphrase(PASSPHRASE))
    folder.add_seed(root, KEY)
    return folder, root


def mandate(**changes: Any) -> Mandate:
    """Return a mandate for a day of small buys and sells of ``TOKEN``."""
    return replace(_MANDATE, **changes)


_MANDATE: Final = Mandate(
    name="first",
    genesis_hash=REHEARSAL_GENESIS,
    wallets=(WALLET,),
    cold_address=COLD,
    endpoints=("http://127.0.0.1:8899", "http://127.0.0.1:8900"),
    mints=(TOKEN,),
    sides=(Side.BUY, Side.SELL),
    venues=(),
    order_lamports_max=SOL,
    day_lamports_max=2 * SOL,
    fee_lamports_max=200_000,
    fee_day_lamports_max=2_000_000,
    slippage_bps_max=100,
    attempts_max=3,
    ramp_trades=0,
    ramp_lamports_max=SOL // 100,
    approval_above_lamports=SOL,
    armed_s_max=24 * 3_600,
    expires_ns=NOW_NS + 7 * 24 * 3_600 * NS_PER_S,
)


def mandate_toml(wanted: Mandate) -> str:
    """Return the file that says what the mandate says."""
    from datetime import UTC, datetime

    def listed(values: tuple[str, ...]) -> str:
        return "[" + ", ".join(f'"{value}"' for value in values) + "]"

    lines = ["version = 1", f'name = "{wanted.name}"', f'genesis_hash = "{wanted.genesis_hash}"']
    lines += [f'cold_address = "{wanted.cold_address}"']
    for name in ("wallets", "endpoints", "mints", "sides", "venues", "programs", "tip_accounts"):
        lines.append(f"{name} = {listed(getattr(wanted, name))}")
    for name in (
        "order_lamports_max",
        "day_lamports_max",
        "fee_lamports_max",
        "fee_day_lamports_max",
        "slippage_bps_max",
        "attempts_max",
        "ramp_trades",
        "ramp_lamports_max",
        "approval_above_lamports",
        "tip_lamports_max",
        "sweep_day_lamports_max",
    ):
        lines.append(f"{name} = {getattr(wanted, name)}")
    lines.append(f"armed_hours_max = {wanted.armed_s_max // 3_600}")
    lines.append(f"expires = {datetime.fromtimestamp(wanted.expires_ns // NS_PER_S, UTC).isoformat()}")
    return "\n".join(lines) + "\n"


class SetClock:
    """A clock that a test sets."""

    def __init__(self, now_ns: int = NOW_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS_PER_S)


def buy(number: int = 1, **changes: Any) -> SignWanted:
    """Return a good buy of ``TOKEN`` for a tenth of a SOL; each number is an intent of its own."""
    return replace(
        SignWanted(
            intent_id=f"intent-{number}",
            attempt=1,
            wallet=WALLET,
            message=b"swap %d" % number,
            in_mint=SOL_MINT,
            out_mint=TOKEN,
            amount_in=SOL // 10,
            min_out=1_000,
            fee_lamports_max=100_000,
            last_valid_block_height=1_100,
            is_exit=False,
        ),
        **changes,
    )


def sell(number: int = 1, **changes: Any) -> SignWanted:
    """Return a good sale of ``TOKEN``."""
    wish = {"in_mint": TOKEN, "out_mint": SOL_MINT, "amount_in": 1_000, "min_out": SOL // 10, "is_exit": True}
    return buy(number, **{"intent_id": f"exit-{number}", "message": b"swap back %d" % number, **wish, **changes})


__all__ = ["COLD", "KEY", "OTHER_TOKEN", "PASSPHRASE", "SOL", "SOL_MINT", "TOKEN", "WALLET"]
