"""A server of ``POST /assess`` as an adviser: the contract of ``sidecar.assessment``, asked as this desk answers it."""

from typing import Final

from trading.config import SidecarSection
from trading.errors import SidecarFault
from trading.sidecar.adviser import Reply
from trading.sidecar.assessment import AssessmentRequest, answer_of
from trading.sidecar.budget import tokens_of

from .sidecar_http import SidecarHttp, Turned

PATH: Final = "/assess"
UNNAMED: Final = "assess"
"""Whose record counts where the setting names no model."""


class AssessBridge:
    """An ``Adviser``. ``http`` is the caller's to close."""

    def __init__(self, section: SidecarSection, http: SidecarHttp) -> None:
        self._section = section
        self._http = http

    @property
    def model(self) -> str:
        return self._section.model or UNNAMED

    def size_of(self, request: AssessmentRequest) -> tuple[int, int]:
        return tokens_of(request.model_dump_json()), self._section.tokens_out_max

    async def assess(self, request: AssessmentRequest) -> Reply:
        """Return the server's answer. Raises: SidecarFault."""
        body = await self._http.post(PATH, request.model_dump(mode="json"))
        if isinstance(body, Turned):
            msg = f"the server turned the question down with {body.status}"
            raise SidecarFault(msg, reason="http_4xx")
        found = answer_of(body, request)
        if self._section.model and found.model != self._section.model:
            msg = "another model answered than the one that was asked"
            raise SidecarFault(msg, reason="model")
        usage = found.usage
        is_told = usage.tokens_in or usage.tokens_out or usage.is_cached
        return Reply(self.model, found.assessment, *((usage.tokens_in, usage.tokens_out) if is_told else (None, None)))
