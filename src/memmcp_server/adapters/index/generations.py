"""The index as a whole: the generation that is searched and, while a model changes, the one that is filled beside it.

Writes go to both. Filling and every look into the next generation leave the first alone, and the switch is one
replacement of the catalogue's pointer: whenever the process dies, the next one finds either the old state or the new.

Two locks: ``_changing`` makes writes come one at a time, ``_reading`` keeps a search off a store that is being closed
and a status from being half of each.
A model runs under neither while a generation is filled, so that live writes never wait for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.ports import Embedder, IndexHit

from .catalogue import Catalogue, Pointer
from .documents import PointDocument
from .engine import IndexEngine, NotReady, WordVectors, difference, identity_with
from .residues import residues_of
from .store import RECIPE, Identity, StoreDamaged, StoredPoint, StoreUnavailable

Which = Literal["active", "next"]

LINGER_S = 15.0
"""How long a generation that the pointer names no more stays on a server, and is written to: other daemons look at the
pointer every few seconds, and search the old one until then."""

_log = logging.getLogger(__name__)


class Generations:
    def __init__(
        self,
        catalogue: Catalogue,
        words: WordVectors,
        configured: Identity,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._words = words
        self._configured = configured
        self._changing = threading.Lock()
        self._reading = threading.Lock()
        self._pointer = Pointer()
        self._active = self._engine(self._pointer.active)
        self._next: IndexEngine | None = None
        self._embedder: Embedder | None = None
        self._given_up = ""
        self._is_old_settled = False
        self._removed: set[str] = set()
        self._unpurged: list[IndexEngine] = []
        self._purging: IndexEngine | None = None
        self._monotonic_s = monotonic_s
        self._tidy_from_s = monotonic_s() + LINGER_S  # the pointer may have been moved just now
        self._is_untidy = False
        self._leaving: IndexEngine | None = None

    def open(self) -> None:
        """Open what the catalogue names. Failing is a state, not an error: a later call tries again."""
        with self._changing:
            try:
                self._follow(self._catalogue.read())
            except (StoreUnavailable, StoreDamaged) as problem:
                self._active.suspect(str(problem))
                return
            for engine in self._engines():
                if engine.should_open:
                    engine.open()
            self._settle()
            if self._active.is_up:
                self._tidy()

    @property
    def should_open(self) -> bool:
        """Whether ``open`` has something to do: a store that failed, a pointer that another daemon has moved, or an old
        generation that has stayed long enough."""
        if any(engine.should_open for engine in self._engines()):
            return True
        if not self._catalogue.is_shared:
            return False
        if self._is_untidy and self._monotonic_s() >= self._tidy_from_s:
            return True
        try:
            return self._catalogue.read() != self._pointer
        except (StoreUnavailable, StoreDamaged):
            return False

    def adopt(self, embedder: Embedder) -> None:
        """Use the configured model from now on, in every generation that was made with it."""
        with self._changing:
            self._embedder = embedder
            self._configured = identity_with(embedder, self._configured.path)
            self._settle()

    def give_up_model(self, reason: str) -> None:
        """The configured model is not to be had."""
        with self._changing:
            self._given_up = reason
            self._settle()

    def old_model(self) -> Identity | None:
        """Return the identity of the model that the searched generation needs and that is not the configured one.

        None: it needs no other, or was given (or refused) it already.
        """
        found = self._active.identity
        if found is None or self._is_old_settled or not self._active.is_loading:
            return None
        is_other = difference(found, self._configured) != ""
        return found if is_other else None

    def adopt_old(self, embedder: Embedder | None, reason: str = "") -> None:
        """Search the active generation with the model that it was made with; None: it is not at hand."""
        with self._changing:
            found, self._is_old_settled = self._active.identity, True
            if embedder is not None and found is not None:
                with self._watched(self._active):
                    self._active.adopt(embedder, found.path)
            if not self._active.has_model:
                self._active.give_up_model(reason or f"{found.model if found else 'the model'} makes other vectors now")

    def upsert(self, documents: Sequence[PointDocument]) -> None:
        """Store the versions durably in every generation. Raises: NotReady, StoreUnavailable.

        A next generation whose model is still loading is passed over: the check before the switch finds what it lacks.
        """
        with self._changing:
            with self._watched(self._active):
                self._active.upsert(documents)
            if self._next is not None and self._next.is_up and not self._next.is_loading:
                with self._watched(self._next):
                    self._next.upsert(documents)
            if self._leaving is not None:
                self._beside(self._leaving, lambda leaving: leaving.upsert(documents))

    def fill(self, documents: Sequence[PointDocument]) -> None:
        """Store the versions durably in the next generation only, but what was removed since it was begun.

        They were read from the journal a while ago: by now some may be forgotten. Raises: NotReady, StoreUnavailable.
        """
        engine = self._engine_of("next")
        with self._watched(engine):
            vectors = engine.vectors_for(documents)
        with self._changing:
            if engine is not self._next:
                message = "the generation that was being filled is gone"
                raise NotReady(message)
            kept = [document for document in documents if document.memory_id not in self._removed]
            with self._watched(engine):
                engine.upsert(kept, vectors)

    def remove(self, memory_ids: Sequence[str]) -> None:
        """Remove the memories from every generation. Raises: NotReady, StoreUnavailable."""
        with self._changing:
            if self._next is not None:
                self._removed.update(memory_ids)
            for engine in self._engines():
                with self._watched(engine):
                    engine.remove(memory_ids)
            if self._leaving is not None:
                self._beside(self._leaving, lambda leaving: leaving.remove(memory_ids))

    def purge(self, *, begin: bool) -> bool:
        """Do a slice of ``PointStore.purge`` in one generation after the other; return whether all are done.

        Raises: NotReady, StoreUnavailable.
        """
        with self._changing:
            if begin:
                self._unpurged, self._purging = self._engines(), None
            left = [engine for engine in self._unpurged if engine in self._engines()]
            if left:
                engine, is_begun = left[0], left[0] is self._purging
                self._purging = engine
                with self._watched(engine):
                    if engine.purge(begin=not is_begun):
                        left = left[1:]
            self._unpurged = left
            return not left

    def residues(self, point_ids: Sequence[str]) -> JsonObject:
        """Search the files of all generations for points that were removed. Raises: NotReady, StoreUnavailable."""
        with self._changing:
            files = dict.fromkeys(path for engine in self._engines() for path in engine.files())
        return residues_of(list(files), point_ids)

    def clear(self) -> None:
        """Empty the searched generation, which takes the configured model. Raises: StoreUnavailable."""
        with self._changing:
            if self._embedder is not None:
                self._active.adopt(self._embedder, self._configured.path)
            with self._watched(self._active):
                self._active.clear()

    def search(self, which: Which, query: str, where: MemoryFilter, *, limit: int, now_ns: int) -> list[IndexHit]:
        """Raises: NotReady, StoreUnavailable."""
        with self._reading, self._watched(engine := self._engine_of(which)):
            return engine.search(query, where, limit=limit, now_ns=now_ns)

    def similar(
        self, which: Which, point_id: str, where: MemoryFilter, *, limit: int, now_ns: int
    ) -> list[IndexHit] | None:
        """Raises: NotReady, StoreUnavailable."""
        with self._reading, self._watched(engine := self._engine_of(which)):
            return engine.similar(point_id, where, limit=limit, now_ns=now_ns)

    def held(self, which: Which, memory_ids: Sequence[str]) -> list[StoredPoint]:
        """Raises: NotReady, StoreUnavailable."""
        with self._changing, self._watched(engine := self._engine_of(which)):
            return engine.held(memory_ids)

    def page(
        self, which: Which, *, after: str | None, limit: int, lacking_vector: bool
    ) -> tuple[list[str], str | None]:
        """Raises: NotReady, StoreUnavailable."""
        with self._changing, self._watched(engine := self._engine_of(which)):
            return engine.page(after=after, limit=limit, lacking_vector=lacking_vector)

    def begin(self) -> None:
        """Begin a next generation with the configured model; one that is there already goes on.

        Raises: NotReady, StoreUnavailable.
        """
        with self._changing:
            if self._embedder is None and not self._given_up:
                message = "the model is loading"
                raise NotReady(message)
            if self._next is not None and self._next.is_up:
                return
            if self._next is None:
                self._removed.clear()
                number = self._pointer.last + 1
                pointer = Pointer(self._pointer.active, number, number)
                self._catalogue.write(pointer)
                with self._reading:
                    self._pointer, self._next = pointer, self._engine(number)
            self._next.open()
            self._settle()
            if not self._next.is_up:
                raise StoreUnavailable(str(self._next.status()["detail"]))

    def switch(self) -> None:
        """Search the next generation from now on, and remove the old one; on a server it stays for ``LINGER_S``.

        Raises: NotReady, StoreUnavailable.
        """
        with self._changing:
            engine = self._engine_of("next")
            if not engine.is_up:
                raise NotReady(str(engine.status()["detail"]))
            assert self._pointer.next is not None
            pointer = Pointer(self._pointer.next, None, self._pointer.last)
            self._catalogue.write(pointer)
            with self._reading:
                old, self._pointer, self._active, self._next = self._active, pointer, engine, None
                if self._catalogue.is_shared:
                    self._leave(old)
                else:
                    _close(old)
            self._is_old_settled = False
            self._tidy_from_s = self._monotonic_s() + LINGER_S
            self._tidy()

    def abandon(self) -> None:
        """Give up the next generation. Raises: StoreUnavailable."""
        with self._changing:
            self._abandon()

    def status(self) -> JsonObject:
        """Return the document of ``ports.IndexStatus``, never half of it from before a switch and half from after."""
        with self._reading:
            return self._status()

    def _status(self) -> JsonObject:
        active, following = self._active, self._next
        document = active.status()
        if self._given_up and active.has_model:
            document["detail"] = "; ".join(filter(None, (str(document["detail"]), self._given_up)))
        document["generation"] = self._pointer.active
        document["unvectored"] = active.unvectored if active.has_model else 0
        document["wants"] = self._wants()
        document["next"] = None
        if following is not None and (number := self._pointer.next) is not None:
            said = following.status()
            identity = following.identity
            document["next"] = {
                "generation": number,
                "model": said["model"],
                "points": said["points"],
                "token": "" if identity is None else identity.token,
                "state": said["state"],
                "detail": said["detail"],
            }
        return document

    def close(self) -> None:
        with self._changing, self._reading:
            for engine in self._engines():
                _close(engine)
            self._leave(None)
            self._catalogue.close()

    def _wants(self) -> str:
        """Return why the searched generation should be replaced, as far as it can be now."""
        found = self._active.identity
        if found is None:
            return ""
        if self._embedder is not None and (problem := difference(found, self._configured)):
            return problem
        if found.recipe != RECIPE and self._active.has_model:
            return f"the index was made with text recipe {found.recipe}, this version has {RECIPE}"
        return ""

    def _engine(self, number: int) -> IndexEngine:
        wanted = self._configured
        return IndexEngine(self._catalogue.store(number), self._words, wanted.model, wanted.dimension, wanted.path)

    def _engines(self) -> list[IndexEngine]:
        return [self._active] if self._next is None else [self._active, self._next]

    def _engine_of(self, which: Which) -> IndexEngine:
        if which == "active":
            return self._active
        if self._next is None:
            message = "no other generation is being filled"
            raise NotReady(message)
        return self._next

    def _follow(self, pointer: Pointer) -> None:
        """Hold the engines that the pointer names; another daemon may have moved it."""
        if pointer != self._pointer:
            self._tidy_from_s = self._monotonic_s() + LINGER_S
        known = dict(zip(self._pointer.numbers, self._engines(), strict=True))
        active = known.pop(pointer.active, None)
        if active is None:
            self._is_old_settled = False
            active = self._opened(pointer.active)
        following = None
        if pointer.next is not None:
            following = known.pop(pointer.next) if pointer.next in known else self._engine(pointer.next)
        with self._reading:
            self._active, self._next, self._pointer = active, following, pointer
            for engine in known.values():
                _close(engine)

    def _opened(self, number: int) -> IndexEngine:
        """Return the engine of a generation that is searched from now on, ready before the present one is let go."""
        engine = self._engine(number)
        if self._active.is_up:
            engine.open()
            found, embedder = engine.identity, self._embedder
            if found is not None and embedder is not None and not difference(found, self._configured):
                engine.adopt(embedder, self._configured.path)
        return engine

    def _settle(self) -> None:
        """Give each generation the model that it was made with, as far as it is at hand."""
        active, following, embedder = self._active, self._next, self._embedder
        if active.identity is not None and not active.has_model:
            is_fitting = not difference(active.identity, self._configured)
            if embedder is not None and (is_fitting or (active.points == 0 and following is None)):
                with self._watched(active):
                    active.adopt(embedder, self._configured.path)
            elif self._given_up and is_fitting:
                active.give_up_model(self._given_up)
        if following is None or following.identity is None:
            return
        is_known = embedder is not None or self._given_up
        if is_known and (difference(following.identity, self._configured) or following.identity.recipe != RECIPE):
            _log.warning("generation %s was begun for another model or recipe: it is given up", self._pointer.next)
            self._abandon()
        elif embedder is not None and not following.has_model:
            with self._watched(following):
                following.adopt(embedder, self._configured.path)
        elif self._given_up:
            following.give_up_model(self._given_up)

    def _abandon(self) -> None:
        engine = self._next
        if engine is None:
            return
        pointer = Pointer(self._pointer.active, None, self._pointer.last)
        self._catalogue.write(pointer)
        with self._reading:
            self._pointer, self._next = pointer, None
            _close(engine)
        self._tidy()

    def _tidy(self) -> None:
        """Remove what no pointer names. What stays behind is tried again at the next start."""
        self._is_untidy = self._catalogue.is_shared and self._monotonic_s() < self._tidy_from_s
        if self._is_untidy:
            return
        self._leave(None)
        try:
            self._catalogue.remove_others(self._pointer)
        except StoreUnavailable as problem:
            _log.warning("a generation that is not needed any more stays behind: %s", problem)

    def _leave(self, engine: IndexEngine | None) -> None:
        if self._leaving is not None:
            _close(self._leaving)
        self._leaving = engine

    def _beside(self, engine: IndexEngine, change: Callable[[IndexEngine], None]) -> None:
        """Make the change also in what other daemons may still search; whatever fails there goes with it soon."""
        try:
            change(engine)
        except (NotReady, StoreUnavailable) as problem:
            _log.warning("a generation that is about to go lacks a change: %s", problem)

    @contextmanager
    def _watched(self, engine: IndexEngine) -> Iterator[None]:
        """Note which store failed, so that it is opened again."""
        try:
            yield
        except StoreUnavailable as problem:
            if engine in self._engines():
                engine.suspect(str(problem))
            raise


def _close(engine: IndexEngine) -> None:
    """What is closed for good need not end well."""
    try:
        engine.close()
    except StoreUnavailable as problem:
        _log.warning("a generation did not close in order: %s", problem)
