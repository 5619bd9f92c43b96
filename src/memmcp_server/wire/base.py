"""What every request and response shares: base models, constrained strings, the one error shape."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from memmcp_server.domain.memory import NAMESPACE_PATTERN

JsonValue = Any
NamespaceStr = Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN, max_length=128)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,47}$")]
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=200)]
SolAmount = Annotated[str, StringConstraints(pattern=r"^\d{1,12}(\.\d{1,9})?$")]
TokenAmount = Annotated[str, StringConstraints(pattern=r"^\d{1,20}(\.\d{1,18})?$")]
Bps = Annotated[int, Field(ge=0, le=10_000)]
MoneyKind = Literal["paper", "real"]
TradingState = Literal["ACTIVE", "REDUCING", "HALTED"]
FeedKind = Literal["market", "replay", "synthetic"]


class Request(BaseModel):
    """Unknown fields and NaN are errors that name the field."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=False)


class Wire(BaseModel):
    """What we send. Later versions may add fields, so readers ignore what they do not know."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class ErrorBody(Wire):
    code: str
    message: str
    field: str | None = None
    hint: str | None = None


class ErrorAnswer(Wire):
    """The one error shape: {"error": {"code", "message", "field"?, "hint"?}}."""

    error: ErrorBody
