"""Errors that a group of tasks wrapped on their way out."""

from collections.abc import Iterator
from contextlib import contextmanager

from trading.errors import TradingError


@contextmanager
def unwrapped() -> Iterator[None]:
    """Let one error of ours out as it is: whoever asks whether it is worth another try cannot see into a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        found = list(_leaves(group))
        if len(found) == 1 and isinstance(found[0], TradingError):
            raise found[0] from group
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
