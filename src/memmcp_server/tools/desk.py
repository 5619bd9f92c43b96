"""The desk as tools and resources reach it: typed documents, and one clear answer where there is none."""

from typing import TypeVar

from pydantic import BaseModel

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import TradingUnavailable
from memmcp_server.ports import TradingDesk
from memmcp_server.services.container import Services

DocumentT = TypeVar("DocumentT", bound=BaseModel)


def desk_of(services: Services) -> TradingDesk:
    """Return the desk. Raises: TradingUnavailable when this daemon runs without trading."""
    if services.desk is None:
        msg = "trading is switched off in this daemon; memory works on"
        raise TradingUnavailable(msg, hint="the operator starts it with: memmcp serve (without --no-trading)")
    return services.desk


def document(model: type[DocumentT], body: JsonObject) -> DocumentT:
    """Return a desk's document as its model: what leaves a door is what the door promises."""
    return model.model_validate(body)
