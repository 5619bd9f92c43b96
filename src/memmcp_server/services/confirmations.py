"""What users were asked about previews: the words that were shown for each, and which of them a user declined."""

from collections import OrderedDict
from typing import Final

from memmcp_server.config import OrdersSection

KEPT_MAX: Final = 4_096
"""More previews than a desk keeps at once: of one that is forgotten here nothing can be ordered any more."""


class Confirmations:
    """Bounded and in memory, like the previews themselves: neither outlives the daemon."""

    def __init__(self, section: OrdersSection | None = None) -> None:
        self.section = section or OrdersSection()
        self._shown: OrderedDict[str, str] = OrderedDict()
        self._declined: OrderedDict[str, None] = OrderedDict()

    def note_shown(self, preview_id: str, text: str) -> None:
        """Keep what the desk said of a preview, to show it to the user too."""
        self._shown[preview_id] = text
        while len(self._shown) > KEPT_MAX:
            self._shown.popitem(last=False)

    def shown(self, preview_id: str) -> str:
        """Return what the desk said of this preview, "" where that is not known."""
        return self._shown.get(preview_id, "")

    def decline(self, preview_id: str) -> None:
        """The user said no: nothing may be ordered under this preview any more."""
        self._declined[preview_id] = None
        while len(self._declined) > KEPT_MAX:
            self._declined.popitem(last=False)

    def is_declined(self, preview_id: str) -> bool:
        return preview_id in self._declined

    def are_asked(self, money: str) -> bool:
        """Return whether users are asked before orders of this money, paper or real."""
        return self.section.ask_in_client == "always" or (self.section.ask_in_client == "real" and money == "real")
