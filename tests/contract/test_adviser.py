"""``sidecar.adviser.Adviser``: every body answers within schema, bounds and evidence, or fails by a word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.doubles.scripted_adviser import ScriptedAdviser
from tests.support.chat_server import LIES, MODEL, ChatServer
from tests.support.market_server import SteppedClock
from tests.unit.trading.sidecar.test_assessment import make_request

from trading.adapters.assess_bridge import AssessBridge
from trading.adapters.openai_bridge import OpenAiBridge
from trading.adapters.sidecar_http import SidecarHttp
from trading.config import SidecarSection
from trading.errors import SidecarFault
from trading.sidecar.adviser import Adviser

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T14")]


@asynccontextmanager
async def opened(body: str, server: ChatServer) -> AsyncIterator[Adviser]:
    if body == "scripted":
        scripted = ScriptedAdviser(**server.said)
        if server.faults:
            scripted.fault = lambda: SidecarFault("as told", reason="schema")
        yield scripted
        return
    async with server.serving() as url:
        path = "/v1" if body == "openai" else ""
        section = SidecarSection(url=f"{url}{path}", kind=body, model=MODEL, timeout_s=5)  # type: ignore[arg-type]
        http = SidecarHttp(section, SteppedClock())
        try:
            yield OpenAiBridge(section, http) if body == "openai" else AssessBridge(section, http)
        finally:
            await http.close()


BODIES = ["openai", "assess", "scripted"]


@pytest.mark.parametrize("body", BODIES)
async def test_it_answers_the_question_under_its_own_name(body: str) -> None:
    async with opened(body, ChatServer(said={"wait_s": 60})) as adviser:
        reply = await adviser.assess(make_request())
        tokens = adviser.size_of(make_request())
    assert (reply.model, adviser.model) == (MODEL, MODEL)
    assert (reply.assessment.wait_s, reply.assessment.evidence_ids) == (60, ("fct_1",))
    assert min(tokens) > 0


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("lie", sorted(LIES.keys() - {"a_list"}))
async def test_a_lie_is_a_fault_and_never_an_answer(body: str, lie: str) -> None:
    async with opened(body, ChatServer(faults=[lie])) as adviser:
        with pytest.raises(SidecarFault) as caught:
            await adviser.assess(make_request())
    assert caught.value.reason in {"schema", "evidence", "not_json"}
