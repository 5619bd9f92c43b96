"""What every request and response shares: base models, constrained strings, the one error shape."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from memmcp_server.domain.memory import NAMESPACE_PATTERN

JsonValue = Any
NamespaceStr = Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN, max_length=128)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,47}$")]
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=200)]
MemoryIdStr = Annotated[str, StringConstraints(min_length=1, max_length=128)]
SolAmount = Annotated[str, StringConstraints(pattern=r"^\d{1,12}(\.\d{1,9})?$")]
TokenAmount = Annotated[str, StringConstraints(pattern=r"^\d{1,20}(\.\d{1,18})?$")]
Bps = Annotated[int, Field(ge=0, le=10_000)]
MoneyKind = Literal["paper", "real"]
TradingState = Literal["ACTIVE", "REDUCING", "HALTED"]
FeedKind = Literal["market", "replay", "synthetic"]


def _written_out(value: object) -> object:
    """Refuse a bare number: nobody can tell seconds from milliseconds, and a guess would put it into another year."""
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"\s*\d{4}-\d", value)):
        return value
    msg = "write the time as ISO 8601 with a zone, for example 2026-05-01T12:00:00Z"
    raise ValueError(msg)


Moment = Annotated[datetime, BeforeValidator(_written_out)]
"""A time that a caller sends. Whether it has a zone is checked where it is turned into nanoseconds."""


def _is_number(annotation: Any) -> bool:
    return annotation is int or any(_is_number(part) for part in get_args(annotation))


class Strict(BaseModel):
    """Unknown fields and NaN are errors that name the field."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=False)


class Request(Strict):
    """As ``Strict``; a true or false in place of a number is an error too, not a 1 or a 0."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_as_number(cls, value: object, info: ValidationInfo) -> object:
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and _is_number(annotation):
            msg = "a number is needed, not true or false"
            raise ValueError(msg)
        return value


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
