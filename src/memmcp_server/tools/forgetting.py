"""The tool that forgets: by id at once, by a filter in two steps."""

from mcp_types import ToolAnnotations

from memmcp_server.wire.lifecycle import ForgetAnswer, ForgetRequest

from .arguments import MemoryForgetArguments
from .spec import Call, ToolSpec


async def memory_forget(call: Call, arguments: MemoryForgetArguments) -> ForgetAnswer:
    request = ForgetRequest(**arguments.model_dump(exclude={"idempotency_key"}, exclude_unset=True))
    return ForgetAnswer.of(await call.services.forgetting.carry_out(request.to_order(), call.caller))


def forget_tool() -> ToolSpec[MemoryForgetArguments]:
    return ToolSpec(
        name="memory_forget",
        title="Forget",
        description=(
            "Deletes memories of yours for good, everywhere. Use when asked to, or for "
            "what should not have been written; a wrong fact is for memory_update. An id at once; a filter "
            "first returns count and preview_id."
        ),
        arguments=MemoryForgetArguments,
        answer=ForgetAnswer,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
        ),
        body=memory_forget,
        under_way="forgetting, and proving that journal, index and files hold it no more",
    )
