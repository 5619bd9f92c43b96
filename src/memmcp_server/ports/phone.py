"""The chat that the operator's phone is in, and what is kept beside it."""

from collections.abc import Mapping
from typing import Protocol

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.phone import PhoneState, Pin, Updates


class Chat(Protocol):
    """One bot's chats. Raises everywhere: Unavailable; InvalidInput where asking again changes nothing."""

    @property
    def bot(self) -> str:
        """Whose bot it is: a number that is no secret."""

    async def updates(self, offset: int) -> Updates:
        """Return what came, waiting for it; what is older than ``offset`` never comes again (0: all that is there)."""

    async def send(self, chat: int, text: str) -> None:
        """Send plain text; what is too long is cut."""

    async def delete(self, chat: int, message: int) -> None:
        """Take a message away, for both sides."""


class PhoneBook(Protocol):
    """Keeps the state of the phone. Raises everywhere: DataDirectoryError."""

    def load(self) -> PhoneState:
        """Return what was kept last."""

    def save(self, state: PhoneState) -> None:
        """Keep it, durably."""

    def told(self) -> Mapping[str, int]:
        """Return which version of which alert was told to whom last (by "alert/user"), the oldest first."""

    def save_told(self, told: Mapping[str, int]) -> None:
        """Keep it, durably."""

    def pin(self) -> Pin | None:
        """Return what is kept of the PIN, as it is now; None where none was set."""


class OpenAlerts(Protocol):
    """What is wrong now, as the documents that alerts have as memories. Raises: NotFound, InvalidInput, Unavailable."""

    async def open(self) -> list[JsonObject]: ...

    async def acknowledge(self, alert_id: str, user: int) -> JsonObject:
        """Note that this user sees to it; the first or last signs of an id are enough where they name one."""
