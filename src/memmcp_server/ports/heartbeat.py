"""Who outside is told that the daemon lives, and notices when it is told no more."""

from typing import Literal, Protocol

Beat = Literal["start", "alive", "fail"]


class DeadMansSwitch(Protocol):
    """Something outside of this machine that raises the alarm when no beat comes for a while."""

    async def tell(self, beat: Beat, note: str) -> None:
        """Send one beat with a short note, once. Raises: Unavailable."""
