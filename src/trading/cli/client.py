"""The daemon over HTTP: found through ``daemon.json`` in its data directory, asked with the operator's token."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import platformdirs

from trading.cli.console import DaemonRefused, DaemonUnreachable
from trading.errors import TradingError

TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 3.0
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
RECORD_BYTES_MAX: Final = 65_536


class OutcomeUnknown(TradingError):
    """The request was sent and no answer came: the effect may have happened."""

    code = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class DaemonRecord:
    """``daemon.json`` as far as it is read here. ``token`` is the operator's and stays out of every message."""

    http: str
    token: str

    def __repr__(self) -> str:
        return f"DaemonRecord(http={self.http!r})"


def data_dir_of(given: Path | None) -> Path:
    """Return the option, else MEMMCP_DATA_DIR, else the platform's user data folder."""
    named = given or os.environ.get("MEMMCP_DATA_DIR")
    return Path(named or platformdirs.user_data_dir("memmcp", appauthor=False)).expanduser().absolute()


def read_record(data_dir: Path) -> DaemonRecord:
    """Return what the running daemon wrote. Raises DaemonUnreachable."""
    path = data_dir / "daemon.json"
    hint = "start it with: memmcp serve (or name its --data-dir)"
    try:
        with path.open("rb") as file:
            record = json.loads(file.read(RECORD_BYTES_MAX))
        http, token = str(record["http"]), str(record["token"])
    except FileNotFoundError as exc:
        msg = f"no daemon is running for {data_dir}"
        raise DaemonUnreachable(msg, field="data_dir", hint=hint) from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        msg = f"{path} cannot be read: {exc}"
        raise DaemonUnreachable(msg, field="data_dir", hint=hint) from exc
    return DaemonRecord(http, token)


class Daemon:
    """One daemon. ``timeout_s`` bounds the whole exchange."""

    def __init__(self, record: DaemonRecord, data_dir: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._record = record
        self._data_dir = data_dir
        self._timeout_s = timeout_s

    @classmethod
    def find(cls, given: Path | None, timeout_s: float = TIMEOUT_S) -> "Daemon":
        """Return the daemon of a data directory. Raises DaemonUnreachable."""
        data_dir = data_dir_of(given)
        return cls(read_record(data_dir), data_dir, timeout_s)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return a JSON answer. Raises DaemonUnreachable, DaemonRefused."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            return self._exchange("GET", path, params=given)
        except OutcomeUnknown as exc:  # a question has no effect, so there is nothing unknown about it
            raise DaemonUnreachable(exc.message, hint="ask again") from exc

    def act(self, name: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """POST an action, once per key. Raises DaemonUnreachable, DaemonRefused, OutcomeUnknown (with its key)."""
        return self.post(f"/actions/{name}", body, key)

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """POST what has an effect, once per key. Raises DaemonUnreachable, DaemonRefused, OutcomeUnknown."""
        used = key or uuid4().hex
        document = {name_: value for name_, value in body.items() if value is not None} | {"idempotency_key": used}
        try:
            return self._exchange("POST", path, document=document)
        except OutcomeUnknown as exc:
            hint = f"repeat it with the same key, which changes nothing twice: --key {used}"
            raise OutcomeUnknown(exc.message, hint=hint) from exc

    def answer(self, item: str, answer: str, reason: str) -> Any:
        """POST an answer to what waits. Raises DaemonUnreachable, DaemonRefused, OutcomeUnknown."""
        return self._exchange("POST", "/review", document={"item": item, "answer": answer, "reason": reason})

    def say(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST what a person says. Raises: DaemonUnreachable, DaemonRefused, OutcomeUnknown."""
        return self._exchange("POST", path, document=dict(body))

    def assess(self, question: Mapping[str, Any]) -> Any:
        """POST a question to the sidecar. Raises DaemonUnreachable, DaemonRefused, OutcomeUnknown."""
        return self._exchange("POST", "/assess", document=dict(question))

    def _exchange(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, document: Any = None
    ) -> Any:
        loopback = urlsplit(self._record.http).hostname in ("127.0.0.1", "localhost", "::1")
        timeout = httpx2.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S)
        headers = {"authorization": f"Bearer {self._record.token}", "accept": "application/json"}
        try:
            with httpx2.Client(timeout=timeout, trust_env=not loopback) as http:
                answer = http.request(
                    method, self._record.http.rstrip("/") + path, params=params, json=document, headers=headers
                )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as exc:
            msg = f"the daemon of {self._data_dir} does not answer at {self._record.http}"
            raise DaemonUnreachable(msg, field="data_dir", hint="see: memmcp status") from exc
        except httpx2.HTTPError as exc:
            msg = f"the daemon at {self._record.http} gave no answer ({type(exc).__name__})"
            raise OutcomeUnknown(msg) from exc
        return self._parsed(answer, path)

    def _parsed(self, answer: httpx2.Response, path: str) -> Any:
        try:
            if len(answer.content) > ANSWER_BYTES_MAX:
                raise ValueError
            document = json.loads(answer.content)
        except ValueError as exc:
            msg = f"{self._record.http}{path} answered {answer.status_code} with something that is not our JSON"
            raise DaemonRefused("bad_answer", msg, hint="is another program listening there?") from exc
        if answer.is_success:
            return document
        error = document.get("error") if isinstance(document, dict) else None
        if not isinstance(error, dict):
            msg = f"{path}: the daemon answered {answer.status_code}"
            raise DaemonRefused("refused", msg)
        raise DaemonRefused(
            str(error.get("code", "refused")),
            str(error.get("message", answer.status_code)),
            field=error.get("field"),
            hint=error.get("hint"),
        )
