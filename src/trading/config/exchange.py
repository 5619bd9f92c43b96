"""A centralised exchange beside the chains: which one, with which key, and how long it is waited for."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from .base import Section
from .secret_files import secret_of

ExchangeName = Annotated[str, Field(pattern="^([a-z0-9]{2,40})?$")]


class ExchangeSection(Section):
    """A centralised exchange, as ccxt calls it: off while ``id`` is empty. Books are public; balances and orders need
    ``api_key`` and ``secret``, at some exchanges a ``password``. Give the key the right to trade on the spot market and
    no other: a withdrawal is asked for only where TRADING_ARBITRAGE__WITHDRAW_TO names its address. Each of the three
    may be the first line of a file instead (``api_key_file``, ``secret_file``, ``password_file``). ``base_url`` is
    another host that speaks the exchange's API.

    ``taker_ppm`` is the taker's fee in parts of a million, as your tier at the exchange says: each fill is checked
    against it. ``recv_window_ms``: the exchange refuses a request that reaches it later, so ``lost_after_s`` after an
    order was sent without an answer one that the exchange does not know never comes; it has to be that window and
    ``timeout_s`` at least. ``calls_per_second`` unset: the rate that ccxt knows for the exchange.
    """

    id: ExchangeName = ""
    api_key: SecretStr | None = None
    secret: SecretStr | None = None
    password: SecretStr | None = None
    api_key_file: Path | None = None
    secret_file: Path | None = None
    password_file: Path | None = None
    base_url: str = ""
    taker_ppm: int = Field(default=1_000, ge=0, le=50_000)
    book_levels: int = Field(default=100, ge=1, le=1_000)
    recv_window_ms: int = Field(default=3_000, ge=100, le=60_000)
    lost_after_s: float = Field(default=8.0, gt=0, le=600)
    calls_per_second: float | None = Field(default=None, gt=0, le=100_000)
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    response_bytes_max: int = Field(default=32_000_000, ge=1_024)

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, given: Any) -> Any:
        """A secret is read once, here; a file that is named beside the secret itself is refused."""
        if not isinstance(given, dict):
            return given
        read = dict(given)
        for name in ("api_key", "secret", "password"):
            file = read.get(f"{name}_file")
            if not file:
                continue
            if read.get(name) is not None:
                msg = f"{name}_file stands beside {name}: give one of the two"
                raise ValueError(msg)
            try:
                read[name] = secret_of(Path(file))
            except ValueError as error:
                msg = f"{name}_file: {error}"
                raise ValueError(msg) from error
        return read

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"https", "http"} or not parts.hostname):
            msg = "an address that begins with https:// or http:// and names a host, or nothing"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _lost_is_after_the_window(self) -> "ExchangeSection":
        if self.lost_after_s < self.recv_window_ms / 1_000 + self.timeout_s:
            msg = f"lost_after_s {self.lost_after_s} has to be recv_window_ms and timeout_s together, or longer"
            raise ValueError(msg)
        return self

    @property
    def has_key(self) -> bool:
        return self.api_key is not None and self.secret is not None
