"""What a pair of keys opens at Langfuse, asked with its own SDK over a real connection."""

import base64
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from tests.support.market_server import loopback

from memmcp_server.adapters.langfuse_account import project_behind
from memmcp_server.config import LangfuseSection
from memmcp_server.errors import InvalidInput, MemoryServerError, ReceiverUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O3")]
PAIR = ("pk-lf-1", "sk-lf-1d9a4e7c-3b2f-4a6d-9c8e-5f0b7a2d4c6e")


def project(name: str) -> dict[str, Any]:
    return {"id": "p1", "name": name, "organization": {"id": "o1", "name": "desk"}, "metadata": {}}


async def asked(answer: Response, *, keys: tuple[str, str] = PAIR) -> str | MemoryServerError:
    """Ask a server that knows one pair of keys and answers whoever shows it in this way; return what came of it."""

    async def projects(request: Request) -> Response:
        expected = f"Basic {base64.b64encode(':'.join(PAIR).encode()).decode()}"
        if request.headers.get("authorization") != expected:
            return JSONResponse({"message": "Invalid credentials"}, 401)
        return answer

    async with loopback([Route("/api/public/projects", projects, methods=["GET"])]) as url:
        section = LangfuseSection(public_key=keys[0], secret_key=SecretStr(keys[1]), base_url=f"{url}/")
        try:
            return await anyio.to_thread.run_sync(partial(project_behind, section))
        except MemoryServerError as error:
            return error


async def test_the_project_of_the_keys_is_named() -> None:
    assert await asked(JSONResponse({"data": [project("paper desk")]})) == "paper desk"


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (JSONResponse({"data": []}), InvalidInput, "no project"),
        (JSONResponse({"message": "forbidden"}, 403), InvalidInput, "does not know these keys"),
        (JSONResponse({"error": "oops"}, 500), ReceiverUnavailable, "answered 500"),
        (PlainTextResponse("Welcome!"), ReceiverUnavailable, ""),
        (JSONResponse({"data": [{"id": 7}]}), ReceiverUnavailable, "something that Langfuse does not"),
        (RedirectResponse("http://127.0.0.1:9/"), ReceiverUnavailable, "answered 307"),
    ],
)
async def test_whatever_else_it_answers_is_told_with_a_hint(
    answer: Response, error: type[MemoryServerError], said: str
) -> None:
    found = await asked(answer)
    assert isinstance(found, error)
    assert said in found.message
    assert found.hint
    assert PAIR[1] not in f"{found.message}{found.hint}"


async def test_other_keys_are_a_mistake_and_a_server_that_is_gone_is_none() -> None:
    assert isinstance(await asked(JSONResponse({}), keys=(PAIR[0], "sk-lf-another")), InvalidInput)
    gone = LangfuseSection(public_key=PAIR[0], secret_key=SecretStr(PAIR[1]), base_url="http://127.0.0.1:9")
    with pytest.raises(ReceiverUnavailable, match="cannot be reached"):
        await anyio.to_thread.run_sync(partial(project_behind, gone))
