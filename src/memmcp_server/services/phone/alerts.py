"""The alerts of the daemon as a phone sees them: by the first or the last signs of their ids."""

from typing import Final

from memmcp_server.domain.alert import Alert
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import InvalidInput, NotFound
from memmcp_server.services.alerting.alerts import Alerts

from .carrying import caller_of

SIGNS_MIN: Final = 4


class PhoneAlerts:
    """``ports.OpenAlerts`` over the service."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def open(self) -> list[JsonObject]:
        return [each.document() for each in await self._found()]

    async def acknowledge(self, alert_id: str, user: int) -> JsonObject:
        named = [each for each in await self._found() if _is_meant(each.memory_id, alert_id)]
        if not named:
            msg = f"there is no open alert {alert_id}"
            raise NotFound(msg, field="id", hint="/alerts lists them")
        if len(named) > 1:
            msg = f"{alert_id} may be {len(named)} alerts"
            raise InvalidInput(msg, field="id", hint="give more of it")
        return (await self._alerts.acknowledge(named[0].memory_id, caller_of(user, "phone /ack"))).document()

    async def _found(self) -> list[Alert]:
        return list((await self._alerts.overview(with_past=False)).alerts)


def _is_meant(memory_id: str, given: str) -> bool:
    """Ids of one minute begin alike, so it is their end that a person is shown."""
    is_long = len(given) >= SIGNS_MIN
    return memory_id == given or (is_long and (memory_id.startswith(given) or memory_id.endswith(given)))
