"""What forgetting is asked, promises and proves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .identifiers import JsonObject, MemoryId, Seq
from .memory import MemoryFilter

LANGFUSE_NOT_CONFIGURED = "not configured: nothing is sent there"
LANGFUSE_TOLD = "asked to delete the traces that told of it; Langfuse does that within some minutes"
LANGFUSE_WAITS = "to be asked to delete the traces that told of it: that waits in the outbox (memmcp outbox list)"


@dataclass(frozen=True, slots=True)
class ForgetOrder:
    """Either memories by name, or a filter (which is previewed), or a preview, with its filter or without."""

    reason: str
    ids: tuple[MemoryId, ...] = ()
    where: MemoryFilter | None = None
    preview_id: str | None = None


@dataclass(frozen=True, slots=True)
class ForgetPreview:
    """What an order with ``preview_id`` would forget: these memories in these versions, nothing else.

    ``steps``: those among them that go along because their trajectory goes. ``held`` and ``foreign`` meet the filter
    too and stay: under legal hold, or not the caller's to forget. ``is_complete`` false: there is more than one order
    may take; preview again after it.
    """

    preview_id: str
    expires_at_ns: int
    count: int
    namespaces: Mapping[str, int]
    kinds: Mapping[str, int]
    steps: int = 0
    pinned: int = 0
    held: int = 0
    foreign: int = 0
    oldest_ns: int | None = None
    newest_ns: int | None = None
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Proof:
    """How far the files are rid of what was forgotten.

    ``proved``: journal and index were searched, or written anew, and hold nothing. ``pending``: one of them is still to
    come and ``waits_for`` says what for; it is finished in the background, also after a restart. ``residues``:
    something is left that should not be. ``journal`` and ``index`` are the figures of the audit entries. ``copies`` are
    back-ups and exports that were still at their place: they may hold it, and deleting them is the operator's.
    """

    state: Literal["proved", "pending", "residues"]
    journal: JsonObject | None = None
    index: JsonObject | None = None
    copies: tuple[str, ...] = ()
    langfuse: str = LANGFUSE_NOT_CONFIGURED
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """``ids`` that were asked for by name; ``count`` of memories forgotten now, steps included; ``already``: before."""

    count: int
    already: int
    seq: Seq | None
    proof: Proof
    ids: tuple[MemoryId, ...] = field(default=())
