"""A Messenger in memory: keeps what it is given, or refuses it."""

from memmcp_server.domain.messages import Message
from memmcp_server.errors import Unavailable


class RecordingMessenger:
    """``is_down`` refuses every message the way a channel's server does."""

    def __init__(self) -> None:
        self.is_down = False
        self.messages: list[Message] = []

    async def prepare(self) -> None:
        pass

    async def send(self, message: Message) -> None:
        if self.is_down:
            msg = "channel recording did not take the message: it is down"
            raise Unavailable(msg)
        self.messages.append(message)
