"""The shape of every data set: texts in reading order, questions, and which texts answer them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from memmcp_server.domain.memory import Memory

NOBODY = "unanswerable"
"""The category of questions about what nobody ever said: any hit is one too many."""


@dataclass(frozen=True, slots=True)
class Question:
    """``evidence`` holds ids of memories; empty for a question that nothing answers."""

    text: str
    category: str
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Memories of one namespace, in the order of their threads, and what is asked about them.

    ``thread_of`` maps a memory to its session or trajectory; a memory that belongs to none is missing there.
    """

    name: str
    memories: tuple[Memory, ...]
    thread_of: dict[str, str]
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = field(default=())

    def categories(self) -> list[str]:
        return sorted({question.category for question in self.questions})


def merged_categories(corpora: Iterable[Corpus]) -> list[str]:
    return sorted({category for corpus in corpora for category in corpus.categories()})
