"""A loopback server that speaks the part of Qdrant's REST interface that memMCP uses, over the client's own engine.

Bodies are taken by the vendor's models, made from its OpenAPI document, which forbid unknown fields: a request that a
real server would not know is answered by 400 here too. What a real server does with the settings is not imitated: they
are kept and told again, as its ``GET /collections/{name}`` does.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models

KEY = "loopback-key"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]


@dataclass
class QdrantServer:
    """``requests``: all that came, in order. ``refuse``: (method, end of the path) -> status that is answered.

    ``points_told``: how many points it says there are. ``writes_may_go``: cleared, a write gets no answer until it is
    set (for 5 s at most).
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    refuse: dict[tuple[str, str], int] = field(default_factory=dict)
    version: str = "1.20.0"
    points_told: int | None = None
    writes_may_go: threading.Event = field(default_factory=threading.Event)
    engine: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, method: str, end: str) -> list[Request]:
        return [each for each in self.requests if each.method == method and each.path.endswith(end)]

    def answer(self, asked: Request) -> Any:
        """Raises: KeyError for what there is not, ValidationError for a body that Qdrant does not know."""
        parts = asked.path.strip("/").split("/")
        if parts == [""]:
            return self
        if parts == ["collections"]:
            return self.engine.get_collections()
        name, rest = parts[1], "/".join(parts[2:])
        if rest == "exists":
            return {"exists": self.engine.collection_exists(name)}
        if (asked.method, rest) == ("PUT", ""):
            return self._create(name, models.CreateCollection.model_validate(asked.body))
        if not self.engine.collection_exists(name):
            raise KeyError(name)
        if rest == "":
            return {"GET": self._info, "PATCH": self._update, "DELETE": self._delete}[asked.method](name, asked.body)
        if rest == "index":
            index = models.CreateFieldIndex.model_validate(asked.body)
            self.schema[name][index.field_name] = asked.body["field_schema"]
            return _done()
        return self._points(name, asked.method, rest, asked.body)

    def _create(self, name: str, given: models.CreateCollection) -> bool:
        if self.engine.collection_exists(name):
            msg = f"collection {name} exists already"
            raise ValueError(msg)
        self.settings[name] = given.model_dump(mode="json", exclude_none=True)
        self.schema[name] = {}
        return self.engine.create_collection(
            name, vectors_config=given.vectors, sparse_vectors_config=given.sparse_vectors, metadata=given.metadata
        )

    def _info(self, name: str, _: dict[str, Any]) -> dict[str, Any]:
        info = self.engine.get_collection(name).model_dump(mode="json", exclude_none=True)
        kept = self.settings[name]
        config = info["config"]
        for key in ("vectors", "sparse_vectors", "shard_number", "replication_factor", "write_consistency_factor",
                    "on_disk_payload"):  # fmt: skip
            if key in kept:
                config["params"][key] = kept[key]
        config["hnsw_config"] |= kept.get("hnsw_config", {})
        if "quantization_config" in kept:
            config["quantization_config"] = kept["quantization_config"]
        info["payload_schema"] = {
            field_name: {"data_type": given["type"], "params": given, "points": 0}
            for field_name, given in self.schema[name].items()
        }
        if self.points_told is not None:
            info["points_count"] = self.points_told
        return info

    def _update(self, name: str, body: dict[str, Any]) -> bool:
        given = models.UpdateCollection.model_validate(body)
        told, kept = given.model_dump(mode="json", exclude_none=True), self.settings[name]
        kept |= told.pop("params", {})
        for vector, diff in told.pop("vectors", {}).items():
            kept["vectors"][vector] |= diff
        if told.get("metadata"):
            self.engine.update_collection(name, metadata=told.pop("metadata"))
        kept["hnsw_config"] = kept.get("hnsw_config", {}) | told.pop("hnsw_config", {})
        kept |= told
        return True

    def _delete(self, name: str, _: dict[str, Any]) -> bool:
        return self.engine.delete_collection(name)

    def _points(self, name: str, method: str, rest: str, body: dict[str, Any]) -> Any:
        engine = self.engine
        match method, rest:
            case "PUT", "points":
                put = models.PointsList.model_validate(body)
                engine.upsert(name, put.points, update_filter=put.update_filter)
                return _done()
            case "POST", "points":
                got = models.PointRequest.model_validate(body)
                return engine.retrieve(name, got.ids, got.with_payload or False, got.with_vector or False)
            case "POST", "points/payload":
                change = models.SetPayload.model_validate(body)
                engine.set_payload(name, change.payload, points=change.points or change.filter)
                return _done()
            case "POST", "points/delete":
                engine.delete(name, models.FilterSelector.model_validate(body))
                return _done()
            case "POST", "points/count":
                count = models.CountRequest.model_validate(body)
                return engine.count(name, count.filter)
            case "POST", "points/scroll":
                page = models.ScrollRequest.model_validate(body)
                records, following = engine.scroll(
                    name, page.filter, page.limit or 10, offset=page.offset, with_payload=page.with_payload or True
                )
                return {"points": [each.model_dump(mode="json") for each in records], "next_page_offset": following}
            case "POST", "points/query/batch":
                batch = models.QueryRequestBatch.model_validate(body)
                for each in batch.searches:  # the engine below compares exactly
                    each.params = each.params and models.SearchParams(idf=each.params.idf)
                return engine.query_batch_points(name, batch.searches)
        raise KeyError(rest)


def _done() -> dict[str, Any]:
    return {"operation_id": 0, "status": "completed"}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _handler(server: QdrantServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("content-length") or 0)
            raw = self.rfile.read(size)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            asked = Request(self.command, parts.path, query, json.loads(raw) if raw else {})
            status, said = self._answered(asked)
            document = {"result": said if status == 200 else None, "time": 0.0,
                        "status": "ok" if status == 200 else {"error": str(said)}}  # fmt: skip
            if said is server:
                document = {"title": "qdrant - vector search engine", "version": server.version}
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _answered(self, asked: Request) -> tuple[int, Any]:
            if self.headers.get("api-key") != KEY:
                return 401, "Invalid API key"
            if asked.method == "PUT" and asked.path.endswith("/points"):
                server.writes_may_go.wait(5)
            with server.lock:
                server.requests.append(asked)
                for (method, end), status in server.refuse.items():
                    if asked.method == method and asked.path.endswith(end):
                        return status, "refused"
                try:
                    return 200, _plain(server.answer(asked))
                except KeyError as problem:
                    return 404, f"Not found: {problem}"
                except (ValidationError, ValueError) as problem:
                    return 400, problem

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Say nothing: what came is in ``requests``."""

    return Handler


@contextmanager
def running_qdrant() -> Iterator[QdrantServer]:
    server = QdrantServer()
    server.writes_may_go.set()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        thread.join(5)
        http.server_close()
