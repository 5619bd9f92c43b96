"""How many files and connections the daemon may hold at once.

Each stream, bridge and agent holds one. Where the system lets a process begin with few (256 on macOS, 1,024 on most
Linux), the daemon would fail at its journal, not at the page that was one too many.
"""

import logging
from typing import Final

OWN: Final = 512
"""Beside the streams: the journals, the index, bridges, agents and requests."""

logger = logging.getLogger(__name__)


def allow_descriptors(streams_max: int) -> int | None:
    """Raise this process's own limit as far as it needs and may; return what it is, None where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = streams_max + OWN
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if allowed > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        except (OSError, ValueError) as error:
            logger.warning("the limit of open files stays at %d: %s", soft, error)
            allowed = soft
    if allowed < needed:
        logger.warning("%d open files are allowed and up to %d may be needed: raise ulimit -n", allowed, needed)
    return allowed
