"""How much of everything there is: desks, nodes that execute, agents that call and write."""

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.summary import SummaryQuery
from memmcp_server.services.container import Services
from memmcp_server.services.summaries import GROUPS_MAX
from memmcp_server.wire.desks import DeskList
from memmcp_server.wire.execution import NodesAnswer
from memmcp_server.wire.insights import AgentTotals, InsightTotals, NodeTotals


async def totals_of(services: Services, caller: Caller, nodes: NodesAnswer | None) -> InsightTotals:
    """Return the totals for this caller; memories that are hidden from it are not counted.

    Raises: JournalBusy, JournalUnavailable.
    """
    desks = DeskList.of(await services.telemetry.desks(), services.clock.now_ns())
    memories, writers = await services.summaries.counted(SummaryQuery(MemoryFilter(), by="agent"), caller)
    callers = services.clients.callers
    connected = [each for each in services.clients.clients if each.name != PAGE]
    return InsightTotals(
        desks=desks.totals,
        nodes=None if nodes is None else node_totals(nodes),
        agents=AgentTotals(
            connected=len(connected),
            callers=len({each.agent for each in callers}),
            calls=sum(each.calls for each in callers),
            writers=len(writers[:GROUPS_MAX]),
            writers_left_out=len(writers) > GROUPS_MAX,
            memories=memories,
        ),
    )


PAGE = "page"
"""The name under which a page is counted among the connected."""


def node_totals(nodes: NodesAnswer) -> NodeTotals:
    """Return how many nodes there are, how many work, and what their transactions came to."""
    found = nodes.nodes
    return NodeTotals(
        nodes=len(found),
        working=sum(each.state == "working" for each in found),
        success=sum(each.transactions.success for each in found),
        failed=sum(each.transactions.failed for each in found),
        expired=sum(each.transactions.expired for each in found),
    )
