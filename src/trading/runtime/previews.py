"""Previews: what was shown to an agent, and that it is carried out as shown, by the same agent, once, in time."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trading.adapters.canonical import canonical_json
from trading.config import PreviewSection

PREVIEW_FIELD = "preview_id"


@dataclass(frozen=True, slots=True)
class Preview:
    """``terms`` is what was shown and binds the order: price bound, amounts, legs."""

    id: str
    agent: str
    fingerprint: str
    made_at_s: float
    terms: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """``status``: expired (unknown, used or too old) or stale (not what was shown)."""

    status: str
    message: str


class Previews:
    """Bounded: the oldest preview makes room for a new one, and then counts as expired."""

    def __init__(self, section: PreviewSection, monotonic_s: Callable[[], float]) -> None:
        self._section = section
        self._monotonic_s = monotonic_s
        self._kept: OrderedDict[str, Preview] = OrderedDict()

    @property
    def expiry_s(self) -> float:
        return self._section.expiry_s

    def make(self, request: Mapping[str, Any], agent: str, terms: Mapping[str, Any]) -> Preview:
        """Keep what was shown for this request of this agent."""
        preview = Preview(
            id=f"pre_{secrets.token_hex(12)}",
            agent=agent,
            fingerprint=fingerprint(request),
            made_at_s=self._monotonic_s(),
            terms=dict(terms),
        )
        self._kept[preview.id] = preview
        while len(self._kept) > self._section.previews_max:
            self._kept.popitem(last=False)
        return preview

    def take(self, preview_id: str, request: Mapping[str, Any], agent: str) -> Preview | Refused:
        """Return the preview and use it up. One that does not match stays usable for what it was made for."""
        preview = self._kept.get(preview_id)
        if preview is None:
            return Refused("expired", "this preview is unknown, used or too old: ask for a new one")
        if preview.agent != agent:
            return Refused("stale", "this preview was made for another agent: ask for your own")
        if preview.fingerprint != fingerprint(request):
            return Refused("stale", "the arguments are not those of the preview: repeat them exactly or preview again")
        del self._kept[preview_id]
        if self._monotonic_s() - preview.made_at_s > self._section.expiry_s:
            return Refused("expired", f"this preview is older than {self._section.expiry_s:g} s: ask for a new one")
        return preview


def fingerprint(request: Mapping[str, Any]) -> str:
    """Return a hash of the arguments apart from the preview id; an argument left out and None are the same."""
    given = {name: value for name, value in request.items() if name != PREVIEW_FIELD and value is not None}
    return hashlib.sha256(canonical_json(given)).hexdigest()
