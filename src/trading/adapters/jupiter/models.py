"""What Jupiter sends, as far as it is read here. Unknown fields are kept: the API grows, and an offer is evidence.

Source: the OpenAPI files of jup-ag/docs (swap/v2, price/v3, tokens/v2) as of August 2026. Amounts are text in base
units; ratios and percentages come as text or numbers.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from trading.adapters.market_api_models import Address, Number

U64_MAX: Final = 2**64 - 1
_DIGITS_MAX: Final = 20


def _whole(value: Any) -> Any:
    """Return a whole number from digits or from a number without a rest; anything else as it came, to be refused."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _DIGITS_MAX:
        return int(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value if type(value) is int else None


def _code(value: Any) -> Any:
    """As ``_whole``, for codes below zero too."""
    if isinstance(value, str) and value.startswith("-"):
        whole = _whole(value[1:])
        return None if whole is None else -whole
    return _whole(value)


Units = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=U64_MAX)]
Bps = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10_000)]
Byte = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=255)]
Code = Annotated[int, BeforeValidator(_code)]
Table = Annotated[tuple[Address, ...], Field(max_length=256)]
Text = Annotated[str, Field(max_length=256)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel)


class AccountOf(_Answer):
    pubkey: Address
    is_signer: bool
    is_writable: bool


class Instruction(_Answer):
    """``data`` is base64."""

    program_id: Address
    accounts: tuple[AccountOf, ...] = Field(max_length=256)
    data: str = Field(max_length=4_096)


class SwapInfo(_Answer):
    amm_key: Address
    label: Text = ""
    input_mint: Address
    output_mint: Address


class RouteStep(_Answer):
    swap_info: SwapInfo


class _Quoted(_Answer):
    """What ``/build`` and ``/order`` both tell. ``other_amount_threshold`` is the least that may come out."""

    input_mint: Address
    output_mint: Address
    in_amount: Units
    out_amount: Units
    other_amount_threshold: Units
    swap_mode: Text = "ExactIn"
    slippage_bps: Bps
    route_plan: tuple[RouteStep, ...] = Field(default=(), max_length=64)


class BlockhashWithMetadata(_Answer):
    """``blockhash`` comes as 32 numbers."""

    blockhash: Annotated[tuple[Byte, ...], Field(min_length=32, max_length=32)]
    last_valid_block_height: Units


class Build(_Quoted):
    """The answer of ``/build``. ``price_impact_pct`` is a ratio, not a percentage, whatever its name."""

    price_impact_pct: Number
    compute_budget_instructions: tuple[Instruction, ...] = Field(default=(), max_length=16)
    setup_instructions: tuple[Instruction, ...] = Field(default=(), max_length=64)
    swap_instruction: Instruction
    cleanup_instruction: Instruction | None = None
    other_instructions: tuple[Instruction, ...] = Field(default=(), max_length=64)
    tip_instruction: Instruction | None = None
    addresses_by_lookup_table_address: dict[Address, Table] | None = None
    blockhash_with_metadata: BlockhashWithMetadata | None = None


class Order(_Quoted):
    """The answer of ``/order``. ``price_impact`` is in percentage points, a loss below zero.

    ``transaction`` is base64; None without a taker, empty with ``error_code`` where it could not be built.
    """

    price_impact: Number = None
    router: Text
    transaction: Annotated[str, Field(max_length=4_096)] | None = None
    request_id: Text = ""
    last_valid_block_height: Units | None = None
    fee_bps: Bps = 0
    signature_fee_payer: Address | None = None
    prioritization_fee_payer: Address | None = None
    rent_fee_payer: Address | None = None
    prioritization_fee_lamports: Units = 0
    gasless: bool = False
    error_code: Code | None = None
    error_message: Text | None = None


class Executed(_Answer):
    """The answer of ``/execute``. Code 0 is success; what the others mean is in ``order``."""

    status: Text
    code: Code
    signature: Text = ""
    error: Text | None = None


class Price(_Answer):
    """A value of ``/price/v3``, by mint. Tokens without a reliable price are left out of the answer."""

    usd_price: Number = None
    block_id: Units | None = None


class Prices(RootModel[dict[Address, Price | None]]):
    """The answer of ``/price/v3``."""


class FirstPool(_Answer):
    created_at: datetime | None = None


class Audit(_Answer):
    is_sus: bool | None = None


class Token(_Answer):
    """An element of ``/tokens/v2/search``."""

    id: Address
    symbol: Text = ""
    name: Text = ""
    decimals: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=18)]
    token_program: Address | None = None
    liquidity: Number = None
    usd_price: Number = None
    organic_score: Number = None
    is_verified: bool | None = None
    first_pool: FirstPool | None = None
    audit: Audit | None = None
