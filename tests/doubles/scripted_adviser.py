"""An adviser that a test writes: it says what it is told to, fails as it is told to, or never answers."""

import json
from collections.abc import Callable
from typing import Any

import anyio
from tests.support.chat_server import assessment

from trading.errors import SidecarFault
from trading.sidecar.adviser import Reply
from trading.sidecar.assessment import AssessmentRequest, assessment_of
from trading.sidecar.budget import Spent


class ScriptedAdviser:
    """``said`` changes fields of a sound answer. ``fault`` is raised, where it is set. With ``is_hanging`` nothing ever
    comes back."""

    def __init__(self, *, is_hanging: bool = False, tokens: tuple[int, int] | None = (500, 100), **said: Any) -> None:
        self.said = said
        self.fault: Callable[[], SidecarFault] | None = None
        self.is_hanging = is_hanging
        self.tokens = tokens
        self.asked: list[AssessmentRequest] = []

    @property
    def model(self) -> str:
        return "a-model"

    def size_of(self, request: AssessmentRequest) -> tuple[int, int]:
        return 1_000, 800

    async def assess(self, request: AssessmentRequest) -> Reply:
        self.asked.append(request)
        await anyio.lowlevel.checkpoint()
        if self.is_hanging:
            await anyio.sleep_forever()
        if self.fault is not None:
            raise self.fault()
        said = json.dumps(assessment(request.model_dump(mode="json"), **self.said))
        return Reply(self.model, assessment_of(said, request), *(self.tokens or (None, None)))


class SpendNote:
    """A ``SpendStore`` in memory. ``problem`` is raised by ``save``, where it is set."""

    def __init__(self) -> None:
        self.spent = Spent()
        self.problem: OSError | None = None

    def load(self) -> Spent:
        return self.spent

    def save(self, spent: Spent) -> None:
        if self.problem is not None:
            raise self.problem
        self.spent = spent
