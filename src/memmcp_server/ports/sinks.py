"""Where the outbox delivers to, who carries messages to a person, and who looks for secrets."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from memmcp_server.domain.messages import Message
from memmcp_server.domain.outbox import OutboxEntry
from memmcp_server.domain.secrets import SecretFinding


class Sink(Protocol):
    """One destination of the outbox. Delivering the same memory twice must change nothing."""

    @property
    def name(self) -> str: ...

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        """Carry the entries to the destination, or raise Unavailable (retry all) for the batch as a whole.

        Raises InvalidInput when one entry can never be delivered; the relay then splits the batch to find it.
        """


@runtime_checkable
class RemoteSink(Sink, Protocol):
    """A sink beyond the network, which has a connection to keep and to close, and takes many entries at once."""

    @property
    def batch_len_max(self) -> int: ...

    async def close(self) -> None: ...


class Messenger(Protocol):
    """One channel to a person: a chat, a mailbox, a push service."""

    async def prepare(self) -> None:
        """Load what sending takes, so that the first message is as quick as the others. Never raises."""

    async def send(self, message: Message) -> None:
        """Hand the message to the channel's server. Raises: Unavailable when it was not taken, within a bounded time.

        What it says of a failure names no address and no secret.
        """


class SecretScanner(Protocol):
    """Finds secrets in any text. Synchronous and pure: no I/O, no state, bounded time, never raises on any string."""

    def scan(self, text: str) -> list[SecretFinding]:
        """Return where secrets are, in order and without overlaps; empty for nearly every text."""
