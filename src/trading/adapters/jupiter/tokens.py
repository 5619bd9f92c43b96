"""``/tokens/v2/search``: which mints a symbol may mean. A symbol is not a name: anybody may mint another one."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import RootModel

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.models import Token
from trading.adapters.jupiter.offers import parsed


@dataclass(frozen=True, slots=True)
class TokenCandidate:
    """A mint that calls itself by a symbol. ``liquidity_usd`` and ``age_s`` are None where they are not known;
    ``is_suspicious`` is Jupiter's opinion."""

    mint: str
    symbol: str
    name: str
    decimals: int
    token_program: str
    liquidity_usd: Decimal | None
    age_s: int | None
    is_verified: bool
    is_suspicious: bool


class _Tokens(RootModel[tuple[Token, ...]]):
    pass


class JupiterTokens:
    """Candidates for a symbol, the one with the most liquidity first."""

    def __init__(self, api: JupiterApi) -> None:
        self._api = api

    async def candidates(self, symbol: str) -> Sequence[TokenCandidate]:
        """Return the tokens with exactly this symbol, capitals or not; empty where there is none.

        Raises: RouteRefused, RouterUnavailable.
        """
        document = await self._api.get("/tokens/v2/search", {"query": symbol})
        found = parsed(_Tokens, document, self._api.gateway).root
        named = [self._candidate(each) for each in found if each.symbol.casefold() == symbol.casefold()]
        return sorted(named, key=lambda each: each.liquidity_usd or Decimal(0), reverse=True)

    def _candidate(self, token: Token) -> TokenCandidate:
        made = token.first_pool.created_at if token.first_pool else None
        age_s = None
        if made is not None and made.tzinfo is not None:
            age_s = max(0, int(self._api.clock.now_ns() // 10**9 - made.timestamp()))
        return TokenCandidate(
            mint=token.id,
            symbol=token.symbol,
            name=token.name,
            decimals=token.decimals,
            token_program=token.token_program or "",
            liquidity_usd=token.liquidity,
            age_s=age_s,
            is_verified=bool(token.is_verified),
            is_suspicious=bool(token.audit and token.audit.is_sus),
        )
