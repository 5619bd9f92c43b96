"""The index worker: ``python -m memmcp_server.adapters.index.worker --parent PID``.

Speaks frames (``frames``) on stdin and stdout: first ``{"op": "open", ...}``, then requests ``{"id", "op", ...}``, each
answered by ``{"id", "ok": {...}}`` or ``{"id", "error": {"code", "message"}}``, in any order; in between events
``{"event": "status", ...}``. It ends when its stdin ends. What nobody foresaw ends the process: the daemon starts
another, and the relay finds the memory that did it.
"""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import BinaryIO

from memmcp_server.adapters.embedding.fastembed_embedder import declared_dimension, load_embedder
from memmcp_server.adapters.embedding.model_files import ModelUnavailable
from memmcp_server.domain.identifiers import Json, JsonObject
from memmcp_server.domain.memory import MemoryFilter

from .documents import BadField, array, hit_document, integer, parse_filter, parse_point, point_id_of, text, texts
from .engine import IndexEngine, NotReady
from .frames import BadDocument, BrokenFrame, decode, encode, read_body
from .lane import Lane
from .lock import LockHeld, acquire
from .options import WorkerOptions, parse_options
from .store import PointStore, StoreUnavailable
from .word_vectors import Bm25Words

LOCK_TIMEOUT_S = 2.0
OPEN_RETRY_S = 2.0
SEARCH_QUEUE_LEN_MAX = 256
WRITE_QUEUE_LEN_MAX = 64
WRITE_NICENESS = 2
HITS_MAX = 1_000

EXIT_OK = 0
EXIT_BROKEN_FRAME = 65
EXIT_CRASHED = 70
EXIT_LOCK_HELD = 73


class Worker:
    """Provides one engine over one pair of pipes."""

    def __init__(self, options: WorkerOptions, requests: BinaryIO, answers: BinaryIO) -> None:
        self._options = options
        self._requests = requests
        self._answers = answers
        self._sending = threading.Lock()
        self._announced: JsonObject = {}
        self._search = Lane("search", queue_len_max=SEARCH_QUEUE_LEN_MAX)
        self._write = Lane("write", queue_len_max=WRITE_QUEUE_LEN_MAX, niceness=WRITE_NICENESS)
        dimension = declared_dimension(options.embedding)
        self._engine = IndexEngine(_store(options), Bm25Words(), options.embedding.model, dimension)

    def serve(self) -> int:
        """Answer until stdin ends."""
        self._search.start()
        self._write.start()
        self._write.submit(self._open)
        threading.Thread(target=self._load_model, name="model", daemon=True).start()
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

    def _job(self, request: JsonObject) -> tuple[Lane, Callable[[], JsonObject]]:
        engine = self._engine
        match request.get("op"):
            case "search":
                query, where = text(request, "query"), _where(request)
                limit, now_ns = min(integer(request, "limit"), HITS_MAX), integer(request, "now_ns")

                def search() -> JsonObject:
                    hits = engine.search(query, where, limit=limit, now_ns=now_ns)
                    return {"hits": [hit_document(hit) for hit in hits]}

                return self._search, search
            case "similar":
                point_id, where = point_id_of(text(request, "memory_id"), integer(request, "version")), _where(request)
                limit, now_ns = min(integer(request, "limit"), HITS_MAX), integer(request, "now_ns")

                def similar() -> JsonObject:
                    near = engine.similar(point_id, where, limit=limit, now_ns=now_ns)
                    return {"hits": None if near is None else [hit_document(hit) for hit in near]}

                return self._search, similar
            case "upsert":
                points = [parse_point(point) for point in array(request, "points")]
                return self._write, _effect(lambda: engine.upsert(points))
            case "remove":
                memory_ids = texts(request, "memory_ids")
                return self._write, _effect(lambda: engine.remove(memory_ids))
            case "clear":
                return self._write, _effect(engine.clear)
            case "close":
                return self._write, _effect(engine.close)
            case other:
                message = f"op: expected search, similar, upsert, remove, clear or close, got {other!r}"
                raise BadField(message)

    def _answer(self, request_id: Json, job: Callable[[], JsonObject]) -> None:
        try:
            answer: JsonObject = {"id": request_id, "ok": job()}
        except (NotReady, StoreUnavailable) as problem:
            if isinstance(problem, StoreUnavailable):
                self._engine.suspect(str(problem))
            answer = {"id": request_id, "error": {"code": "unavailable", "message": str(problem)}}
        self._announce()
        self._send(answer)

    def _open(self) -> None:
        self._engine.open()
        self._announce()

    def _keep_open(self) -> None:
        """Try a store that failed again and again, so that it is back without anybody asking for it."""
        pause = threading.Event()
        while not pause.wait(OPEN_RETRY_S):
            if self._engine.should_open:
                self._write.submit(self._open)

    def _load_model(self) -> None:
        """Runs beside the lanes: loading takes a second, a download minutes."""
        try:
            embedder = load_embedder(self._options.embedding, self._options.models_dir)
        except ModelUnavailable as problem:
            reason = str(problem)
            self._queue(lambda: self._engine.give_up_model(reason))
        else:
            self._queue(lambda: self._engine.adopt(embedder))

    def _queue(self, change: Callable[[], None]) -> None:
        """Have the write lane make the change, so that it never meets a batch half way."""

        def job() -> None:
            try:
                change()
            except StoreUnavailable as problem:
                self._engine.suspect(str(problem))
            self._announce()

        while not self._write.submit(job):
            threading.Event().wait(0.05)

    def _announce(self) -> None:
        status = self._engine.status()
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
        held = None if options.qdrant.url is not None else acquire(options.lock_path, LOCK_TIMEOUT_S)
    except (BrokenFrame, BadDocument, BadField) as problem:
        _refuse(answers, str(problem))
        return EXIT_BROKEN_FRAME
    except (LockHeld, OSError) as problem:
        _refuse(answers, str(problem))
        return EXIT_LOCK_HELD
    code = Worker(options, requests, answers).serve()
    del held  # not before: it is freed with the process
    return code


def _store(options: WorkerOptions) -> PointStore:
    if options.qdrant.url is None:
        from .edge_store import EdgeStore

        return EdgeStore(options.index_dir)
    from .client_store import ClientStore

    return ClientStore(options.qdrant)


def _where(request: JsonObject) -> MemoryFilter:
    return parse_filter(request.get("where"))


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
