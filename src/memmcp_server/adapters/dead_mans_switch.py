"""A dead man's switch over HTTP, as healthchecks.io and its kin have it: the address itself, /start and /fail."""

from typing import Final

from memmcp_server.config import HeartbeatSection
from memmcp_server.errors import Unavailable
from memmcp_server.ports.heartbeat import Beat

from .quiet_http import QuietHttp, checked_url

WHO: Final = "the dead man's switch"
ANSWER_BYTES_MAX: Final = 65_536
NOTE_BYTES_MAX: Final = 2_000
_SUCCESS: Final = range(200, 300)
_PATHS: Final[dict[Beat, str]] = {"alive": "", "start": "/start", "fail": "/fail"}


class HttpSwitch:
    """``ports.DeadMansSwitch``. The address is a secret: whoever has it can keep the alarm quiet."""

    def __init__(self, section: HeartbeatSection) -> None:
        """Raises: InvalidInput where the address is none."""
        self._section = section
        base, mark, query = checked_url(section.url.get_secret_value(), "heartbeat.url").partition("?")
        self._base, self._query = base.rstrip("/"), mark + query
        self._http = QuietHttp.towards(self._base, WHO, bytes_max=ANSWER_BYTES_MAX)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def tell(self, beat: Beat, note: str) -> None:
        url = f"{self._base}{_PATHS[beat]}{self._query}"
        body = note.encode()[:NOTE_BYTES_MAX] or None
        answer = await self._http.ask(
            "POST" if body else "GET", url, body=body, content_type="text/plain", timeout_s=self._section.timeout_s
        )
        if answer.status not in _SUCCESS:
            msg = f"{WHO} answered {answer.status}"
            raise Unavailable(msg)
