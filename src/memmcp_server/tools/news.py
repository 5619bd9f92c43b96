"""The few lines of news that go with a tool's answer."""

from pydantic import BaseModel

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.news import Look
from memmcp_server.services.container import Services
from memmcp_server.wire.brief import BriefSearchAnswer, shorten
from memmcp_server.wire.budget import as_sent, tokens_of
from memmcp_server.wire.news import NewsBlock

from .schemas import NEWS


async def with_news(services: Services, caller: Caller, request: BaseModel, answer: BaseModel) -> JsonObject:
    """Return the answer as JSON with what others did since the caller looked last, where there is something and it
    fits. A ``max_tokens`` of the request holds for both together, and so does the bound of a brief answer to a search,
    whose hits are cut further to make room, and the news where that is not enough.
    """
    document = _json(answer)
    headlines = services.news.headlines
    look = await headlines.look(caller)
    if look is not None:
        tokens_max = headlines.section.tokens_max
        limit = getattr(request, "max_tokens", None)
        if isinstance(limit, int):
            tokens_max = min(tokens_max, limit - tokens_of({**document, NEWS: {}}))
        block = block_that_fits(look, headlines.section.items_max, tokens_max)
        if block is not None and isinstance(answer, BriefSearchAnswer):
            document, block = _brief_beside(answer, str(getattr(request, "query", "")), look, block)
        if block is not None:
            headlines.note_told(look)
            document = {**document, NEWS: block}
    headlines.note_shown(caller, _shown_in(document))
    return document


def _brief_beside(
    answer: BriefSearchAnswer, query: str, look: Look, block: JsonObject
) -> tuple[JsonObject, JsonObject | None]:
    """Return a brief answer and as much of the news as both together keep its bound."""
    items = block.get("items")
    for items_max in range(len(items) if isinstance(items, list) else 0, -1, -1):
        found = block_that_fits(look, items_max, tokens_of(block))
        if found is None:
            break
        cut = answer.model_copy(deep=True)
        if shorten(cut, query, len(as_sent({NEWS: found}))):
            return _json(cut), found
    return _json(answer), None


def _json(answer: BaseModel) -> JsonObject:
    document: JsonObject = answer.model_dump(mode="json", exclude_none=True)
    return document


def block_that_fits(look: Look, items_max: int, tokens_max: int) -> JsonObject | None:
    """Return the block with as many items as fit, None when not even one does."""
    for items in range(min(items_max, len(look.headlines)), -1, -1):
        block: JsonObject = NewsBlock.of(look, items).model_dump(mode="json", exclude_none=True)
        if ("items" in block or "hint" in block) and tokens_of(block) <= tokens_max:
            return block
    return None


def _shown_in(document: JsonObject) -> list[MemoryId]:
    hits = document.get("hits")
    found = [hit.get("id") for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []
    return [MemoryId(each) for each in found if isinstance(each, str)]
