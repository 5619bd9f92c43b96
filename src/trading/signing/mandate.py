"""The mandate's file, and the seal that arming puts on what it says.

The seal is an HMAC-SHA-256 under a key that is derived from the signer's passphrase: who has the file, and even who has
the signer's own record, cannot make one. It covers the arming's number and time, so an old one is good for nothing.
"""

import hashlib
import hmac
import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from solders.pubkey import Pubkey

from trading.errors import InvalidInput
from trading.model.intent import SOL_MINT
from trading.model.mandate import Mandate, Side

from .files import read_bounded

FILE_BYTES_MAX: Final = 65_536
_SEAL_DOMAIN: Final = b"memmcp armed mandate 1\0"
_NS_PER_S: Final = 1_000_000_000
_LAMPORTS_MAX: Final = 10**18


def _address(text: str) -> str:
    try:
        return str(Pubkey.from_string(text))
    except ValueError as error:
        msg = "is not a base58 address of 32 bytes"
        raise ValueError(msg) from error


def _endpoint(text: str) -> str:
    if not text.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
        msg = "is not https (plain http is for this machine only)"
        raise ValueError(msg)
    return text


Address = Annotated[str, Field(min_length=32, max_length=44), AfterValidator(_address)]
Endpoint = Annotated[str, Field(max_length=512), AfterValidator(_endpoint)]
Lamports = Annotated[int, Field(ge=0, le=_LAMPORTS_MAX)]
Count = Annotated[int, Field(ge=0, le=10_000)]


class MandateFile(BaseModel):
    """The fields of the TOML file, all stated: a bound that is left out is not a bound that does not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Annotated[int, Field(ge=1, le=1)]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w .-]+$")]
    genesis_hash: Address
    wallets: Annotated[list[Address], Field(min_length=1, max_length=64)]
    cold_address: Address
    endpoints: Annotated[list[Endpoint], Field(min_length=1, max_length=16)]
    mints: Annotated[list[Address], Field(min_length=1, max_length=512)]
    sides: Annotated[list[str], Field(min_length=1, max_length=2)]
    venues: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=128)]
    order_lamports_max: Lamports
    day_lamports_max: Lamports
    fee_lamports_max: Lamports
    fee_day_lamports_max: Lamports
    slippage_bps_max: Annotated[int, Field(ge=0, le=10_000)]
    attempts_max: Annotated[int, Field(ge=1, le=100)]
    ramp_trades: Count
    ramp_lamports_max: Lamports
    approval_above_lamports: Lamports
    armed_hours_max: Annotated[int, Field(ge=1, le=24 * 31)]
    expires: datetime
    programs: Annotated[list[Address], Field(max_length=64)] = []
    tip_accounts: Annotated[list[Address], Field(max_length=64)] = []
    tip_lamports_max: Lamports = 0
    sweep_day_lamports_max: Lamports = 0

    @model_validator(mode="after")
    def _consistent(self) -> "MandateFile":
        problems = []
        if self.expires.tzinfo is None:
            problems.append("expires: has no time zone; write 2026-12-31T12:00:00Z")
        if unknown := set(self.sides) - {side.value for side in Side}:
            problems.append(f"sides: {sorted(unknown)} is neither buy nor sell")
        if self.order_lamports_max > self.day_lamports_max:
            problems.append("order_lamports_max: is above day_lamports_max")
        if self.ramp_lamports_max > self.order_lamports_max:
            problems.append("ramp_lamports_max: is above order_lamports_max")
        if self.fee_lamports_max > self.fee_day_lamports_max:
            problems.append("fee_lamports_max: is above fee_day_lamports_max")
        if self.tip_lamports_max > self.fee_lamports_max:
            problems.append("tip_lamports_max: is above fee_lamports_max, of which a tip is a part")
        if self.cold_address in self.wallets:
            problems.append("cold_address: is one of the wallets that trade")
        if SOL_MINT in self.mints:
            problems.append("mints: names wrapped SOL, which is what every token is traded against")
        lists = ("wallets", "endpoints", "mints", "sides", "venues")
        twice = [name for name in lists if len(set(getattr(self, name))) != len(getattr(self, name))]
        problems += [f"{name}: names something twice" for name in twice]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def value(self) -> Mandate:
        return Mandate(
            name=self.name,
            genesis_hash=self.genesis_hash,
            wallets=tuple(sorted(self.wallets)),
            cold_address=self.cold_address,
            endpoints=tuple(self.endpoints),
            mints=tuple(sorted(self.mints)),
            sides=tuple(sorted(Side(side) for side in self.sides)),
            venues=tuple(sorted(self.venues)),
            order_lamports_max=self.order_lamports_max,
            day_lamports_max=self.day_lamports_max,
            fee_lamports_max=self.fee_lamports_max,
            fee_day_lamports_max=self.fee_day_lamports_max,
            slippage_bps_max=self.slippage_bps_max,
            attempts_max=self.attempts_max,
            ramp_trades=self.ramp_trades,
            ramp_lamports_max=self.ramp_lamports_max,
            approval_above_lamports=self.approval_above_lamports,
            armed_s_max=self.armed_hours_max * 3_600,
            expires_ns=int(self.expires.astimezone(UTC).timestamp()) * _NS_PER_S,
            programs=tuple(sorted(self.programs)),
            tip_accounts=tuple(sorted(self.tip_accounts)),
            tip_lamports_max=self.tip_lamports_max,
            sweep_day_lamports_max=self.sweep_day_lamports_max,
        )


def parse_mandate(text: bytes) -> Mandate:
    """Return what a mandate's file says. Raises: InvalidInput naming every field that is wrong."""
    try:
        return MandateFile.model_validate(tomllib.loads(text.decode())).value()
    except ValidationError as error:
        problems = [_problem(dict(each)) for each in error.errors()]
        msg = "; ".join(dict.fromkeys(problems))
        raise InvalidInput(msg, field="mandate") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"the mandate is not TOML: {error}"
        raise InvalidInput(msg, field="mandate") from error


def read_mandate(path: Path) -> Mandate:
    """Return the mandate of a file. Raises: InvalidInput naming the file."""
    try:
        return parse_mandate(read_bounded(path, FILE_BYTES_MAX))
    except InvalidInput as error:
        msg = f"{path}: {error.message}"
        raise InvalidInput(msg, field="mandate", hint=error.hint) from error


def _problem(found: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in found["loc"]) or "mandate"
    return f"{field}: {str(found['msg']).removeprefix('Value error, ')}"


def seal(key: bytes, mandate: Mandate, number: int, armed_ns: int, ends_ns: int) -> str:
    """Return the seal of one arming, as hexadecimal text."""
    head = json.dumps([number, armed_ns, ends_ns], separators=(",", ":")).encode()
    return hmac.new(key, _SEAL_DOMAIN + head + b"\0" + mandate.canonical(), hashlib.sha256).hexdigest()


def is_sealed(key: bytes, mandate: Mandate, number: int, armed_ns: int, ends_ns: int, given: str) -> bool:
    return hmac.compare_digest(seal(key, mandate, number, armed_ns, ends_ns), given)
