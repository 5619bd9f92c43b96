"""The index worker: ``python -m memmcp_server.adapters.index.worker --parent PID``.

Speaks frames (``frames``) on stdin and stdout: first ``{"op": "open", ...}``, then requests ``{"id", "op", ...}``, each
answered by ``{"id", "ok": {...}}`` or ``{"id", "error": {"code", "message"}}``, in any order; in between events
``{"event": "status", ...}``. It ends when its stdin ends. What nobody foresaw ends the process: the daemon starts
another, and the relay finds the memory that did it.
"""

import argparse
import contextlib
import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import BinaryIO

from memmcp_server.adapters.embedding.fastembed_embedder import declared_dimension, load_embedder, load_old
from memmcp_server.adapters.embedding.model_files import ModelUnavailable
from memmcp_server.domain.identifiers import Json, JsonObject

from .catalogue import Catalogue, ClientCatalogue, EdgeCatalogue
from .documents import (
    BadField,
    array,
    hits_document,
    integer,
    optional_text,
    parse_filter,
    parse_point,
    point_id_of,
    text,
    texts,
)
from .engine import NotReady
from .frames import BadDocument, BrokenFrame, decode, encode, read_body
from .generations import Generations, Which
from .heap import release_freed
from .inventory import held_document
from .lane import Lane
from .lock import LockHeld, acquire
from .options import Told, parse_options
from .store import Identity, StoreUnavailable
from .word_vectors import Bm25Words

LOCK_TIMEOUT_S = 2.0
OPEN_RETRY_S = 2.0
RELEASE_TURNS = 30
"""Once a minute what large batches freed goes back to the system."""
OPENED_WAIT_S = 5.0
"""How long the configured model waits for the index to say whether it was made with another one."""
SEARCH_QUEUE_LEN_MAX = 256
WRITE_QUEUE_LEN_MAX = 64
FILL_QUEUE_LEN_MAX = 16
WRITE_NICENESS = 2
FILL_NICENESS = 2
"""No more: a thread that waits long for its turn while it holds the interpreter lock holds up the searches as well."""
HITS_MAX = 1_000
PAGE_LEN_MAX = 1_000

Job = Callable[[], JsonObject]

EXIT_OK = 0
EXIT_BROKEN_FRAME = 65
EXIT_CRASHED = 70
EXIT_LOCK_HELD = 73


class Worker:
    """Provides the index over one pair of pipes."""

    def __init__(self, options: Told, requests: BinaryIO, answers: BinaryIO) -> None:
        self._options = options
        self._requests = requests
        self._answers = answers
        self._sending = threading.Lock()
        self._announcing = threading.Lock()
        self._announced: JsonObject = {}
        self._search = Lane("search", queue_len_max=SEARCH_QUEUE_LEN_MAX)
        self._write = Lane("write", queue_len_max=WRITE_QUEUE_LEN_MAX, niceness=WRITE_NICENESS)
        self._fill = Lane("fill", queue_len_max=FILL_QUEUE_LEN_MAX, niceness=FILL_NICENESS)
        self._opened = threading.Event()
        path = "" if options.embedding.path is None else str(options.embedding.path.absolute())
        configured = Identity(options.embedding.model, declared_dimension(options.embedding), path=path)
        self._generations = Generations(_catalogue(options), Bm25Words(), configured)

    def serve(self) -> int:
        """Answer until stdin ends."""
        self._search.start()
        self._write.start()
        self._fill.start()
        self._write.submit(self._open)
        threading.Thread(target=self._load_models, name="model", daemon=True).start()
        threading.Thread(target=self._keep_open, name="keep-open", daemon=True).start()
        while True:
            try:
                body = read_body(self._requests)
            except BrokenFrame as problem:
                self._send({"id": None, "error": {"code": "invalid", "message": str(problem)}})
                return EXIT_BROKEN_FRAME
            if body is None:
                return EXIT_OK
            self._receive(body)

    def _receive(self, body: bytes) -> None:
        request_id: Json = None
        try:
            request = decode(body)
            request_id = integer(request, "id")
            lane, job = self._job(request)
        except (BadDocument, BadField) as problem:
            self._send({"id": request_id, "error": {"code": "invalid", "message": str(problem)}})
            return
        if not lane.submit(lambda: self._answer(request_id, job)):
            self._send({"id": request_id, "error": {"code": "unavailable", "message": "the index is busy"}})

    def _job(self, request: JsonObject) -> tuple[Lane, Job]:
        """Return the job and its lane. Raises: BadField."""
        generations = self._generations
        match request.get("op"):
            case "search" | "similar":
                return self._search, self._searching(request)
            case "upsert":
                points = [parse_point(point) for point in array(request, "points")]
                if _which(request) == "next":
                    return self._fill, _effect(lambda: generations.fill(points))
                return self._write, _effect(lambda: generations.upsert(points))
            case "remove":
                memory_ids = texts(request, "memory_ids")
                return self._write, _effect(lambda: generations.remove(memory_ids))
            case "held" | "page":
                return self._fill, self._looking(request)
            case "purge":
                begin = request.get("begin") is True
                return self._write, lambda: {"done": generations.purge(begin=begin)}
            case "residues":
                point_ids = texts(request, "point_ids")
                return self._write, lambda: generations.residues(point_ids)
            case "clear":
                return self._write, _effect(generations.clear)
            case "begin":
                return self._write, _effect(generations.begin)
            case "switch":
                return self._write, _effect(generations.switch)
            case "abandon":
                return self._write, _effect(generations.abandon)
            case "close":
                return self._write, _effect(generations.close)
            case other:
                message = (
                    "op: expected search, similar, upsert, remove, held, page, purge, residues, clear, begin, switch, "
                    f"abandon or close, got {other!r}"
                )
                raise BadField(message)

    def _searching(self, request: JsonObject) -> Job:
        generations, which = self._generations, _which(request)
        query = text(request, "query") if request.get("op") == "search" else None
        where = parse_filter(request.get("where"))
        limit, now_ns = min(integer(request, "limit"), HITS_MAX), integer(request, "now_ns")
        if query is not None:

            def search() -> JsonObject:
                hits = generations.search(which, query, where, limit=limit, now_ns=now_ns)
                return {"hits": hits_document(hits)}

            return search
        point_id = point_id_of(text(request, "memory_id"), integer(request, "version"))

        def similar() -> JsonObject:
            near = generations.similar(which, point_id, where, limit=limit, now_ns=now_ns)
            return {"hits": None if near is None else hits_document(near)}

        return similar

    def _looking(self, request: JsonObject) -> Job:
        generations, which = self._generations, _which(request)
        if request.get("op") == "held":
            memory_ids = texts(request, "memory_ids")
            return lambda: {"held": [held_document(point) for point in generations.held(which, memory_ids)]}
        after, limit = optional_text(request, "after"), min(integer(request, "limit"), PAGE_LEN_MAX)
        lacking = request.get("lacking_vector") is True

        def page() -> JsonObject:
            found, following = generations.page(which, after=after, limit=limit, lacking_vector=lacking)
            return {"memory_ids": list(found), "next": following}

        return page

    def _answer(self, request_id: Json, job: Job) -> None:
        try:
            answer: JsonObject = {"id": request_id, "ok": job()}
        except (NotReady, StoreUnavailable) as problem:
            answer = {"id": request_id, "error": {"code": "unavailable", "message": str(problem)}}
        self._announce()
        self._send(answer)

    def _open(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # a state by now, and tried again
            self._generations.open()
        self._opened.set()
        self._announce()

    def _keep_open(self) -> None:
        """Try a store that failed again and again, so that it is back without anybody asking for it."""
        pause = threading.Event()
        while not pause.wait(OPEN_RETRY_S):
            if self._generations.should_open:
                self._write.submit(self._open)

    def _load_models(self) -> None:
        """Load what the generations need. Runs beside the lanes: loading takes a second, a download minutes.

        The old model first, where the index was made with another one: it is at hand or not at all.
        """
        self._opened.wait(OPENED_WAIT_S)
        self._load_old()
        try:
            embedder = load_embedder(self._options.embedding, self._options.models_dir)
        except ModelUnavailable as problem:
            reason = str(problem)
            self._queue(lambda: self._generations.give_up_model(reason))
        else:
            self._queue(lambda: self._generations.adopt(embedder))
        release_freed()
        pause = threading.Event()
        for turn in itertools.count(1):
            pause.wait(OPEN_RETRY_S)
            self._load_old()  # a store may open late, or another daemon may switch
            if turn % RELEASE_TURNS == 0:
                release_freed()

    def _load_old(self) -> None:
        identity = self._generations.old_model()
        if identity is None:
            return
        try:
            embedder = load_old(self._options.embedding, identity.model, identity.path, self._options.models_dir)
        except ModelUnavailable as problem:
            reason = f"the index was made with {identity.model}, which is not at hand: {problem}"
            self._queue(lambda: self._generations.adopt_old(None, reason))
        else:
            self._queue(lambda: self._generations.adopt_old(embedder))

    def _queue(self, change: Callable[[], None]) -> None:
        """Have the write lane make the change, so that it never meets a batch half way."""

        done = threading.Event()

        def job() -> None:
            with contextlib.suppress(StoreUnavailable):  # a state by now, and tried again
                change()
            self._announce()
            done.set()

        while not self._write.submit(job):
            threading.Event().wait(0.05)
        done.wait()

    def _announce(self) -> None:
        # Told in the order in which it was so: a lane that is late must not have the last word with what it saw before.
        with self._announcing:
            status = self._generations.status()
            if status != self._announced:
                self._announced = status
                self._send({"event": "status", **status})

    def _send(self, document: JsonObject) -> None:
        frame = encode(document)
        with self._sending:
            try:
                self._answers.write(frame)
                self._answers.flush()
            except OSError:
                os._exit(EXIT_OK)  # the daemon is gone


def main() -> int:
    parser = argparse.ArgumentParser(prog="memmcp-index-worker", description="Started by the memMCP daemon only.")
    parser.add_argument("--parent", type=int, required=True, help="pid of the daemon; the worker ends with it")
    parent = parser.parse_args().parent
    _die_with(parent)
    threading.excepthook = _crash
    requests, answers = _take_pipes()
    try:
        body = read_body(requests)
        if body is None:
            return EXIT_OK
        options = parse_options(decode(body))
        held = None if options.server is not None else acquire(options.lock_path, LOCK_TIMEOUT_S)
    except (BrokenFrame, BadDocument, BadField) as problem:
        _refuse(answers, str(problem))
        return EXIT_BROKEN_FRAME
    except (LockHeld, OSError) as problem:
        _refuse(answers, str(problem))
        return EXIT_LOCK_HELD
    code = Worker(options, requests, answers).serve()
    del held  # not before: it is freed with the process
    return code


def _catalogue(options: Told) -> Catalogue:
    if options.server is None:
        return EdgeCatalogue(options.index_dir)
    from .client_store import Connection

    return ClientCatalogue(Connection(options.server), options.server.collection)


def _which(request: JsonObject) -> Which:
    match request.get("generation", "active"):
        case "active":
            return "active"
        case "next":
            return "next"
        case other:
            message = f"generation: expected active or next, got {other!r}"
            raise BadField(message)


def _effect(change: Callable[[], None]) -> Callable[[], JsonObject]:
    def run() -> JsonObject:
        change()
        return {}

    return run


def _refuse(answers: BinaryIO, reason: str) -> None:
    answers.write(encode({"event": "refused", "reason": reason}))
    answers.flush()


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for frames alone: what a library prints goes to stderr."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests, answers


def _die_with(parent: int) -> None:
    """End when the daemon ends, also when it is killed and this process is inside native code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon decides
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the line above
        os._exit(EXIT_OK)


def _crash(problem: threading.ExceptHookArgs) -> None:
    traceback.print_exception(problem.exc_type, problem.exc_value, problem.exc_traceback)
    sys.stderr.flush()
    os._exit(EXIT_CRASHED)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # daemon threads may sit in native code; nothing unacknowledged is worth waiting for
