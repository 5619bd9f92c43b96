"""The few routes of a model hub that fastembed's download uses, on loopback."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def model_hub(repository: str, files: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve one repository; yield the endpoint and the list of paths asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            if path.startswith(f"/api/models/{repository}/tree/"):
                tree = [
                    {"type": "file", "path": name, "size": file.stat().st_size, "oid": _oid(file)}
                    for name, file in files.items()
                ]
                self._send(json.dumps(tree).encode(), {"Content-Type": "application/json"})
            elif path.startswith(f"/api/models/{repository}"):
                siblings = [{"rfilename": name} for name in files]
                about = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}
                self._send(json.dumps(about).encode(), {"Content-Type": "application/json"})
            elif (name := path.removeprefix(f"/{repository}/resolve/{COMMIT}/")) in files:
                headers = {"ETag": f'"{_oid(files[name])}"', "X-Repo-Commit": COMMIT}
                self._send(files[name].read_bytes(), headers)
            else:
                self.send_error(404)

        def _send(self, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
