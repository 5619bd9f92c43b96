"""What a door is handed: every service of the running daemon, built by ``bootstrap``."""

from dataclasses import dataclass, field

from memmcp_server.domain.drafts import DraftLimits
from memmcp_server.domain.tracing.calls import SpanRecorder
from memmcp_server.ports import Approvals, Clock, Journal, SecretScanner, TradingDesk, VectorIndex

from .alerting.alerts import Alerts
from .clients import ClientRegistry
from .confirmations import Confirmations
from .copies import Copies
from .episodes import Episodes
from .erasure import Erasure
from .evaluation import Evaluation
from .forgetting import Forgetting
from .health import Health
from .heartbeat import Heartbeat
from .index_keeper import IndexKeeper
from .logins import Logins
from .memories import Memories
from .meters import Meters
from .news import News
from .outbox import Outbox
from .phone import Phone
from .policies import Policies
from .quotas import Quotas
from .relay import Relay
from .spooling import Spooling
from .summaries import Summaries
from .tasks import Tasks
from .telemetry import Telemetry
from .trajectories import Trajectories


@dataclass(frozen=True)
class Services:
    """``desk``, ``approvals`` None: trading is off. ``started_at_ns`` is wall time. ``limits``: sizes of a memory.

    ``heartbeat`` None: nobody outside is told that the daemon lives; ``phone`` None: the operator has none; ``alerts``
    None: nobody is told of anything; ``spooling`` None: the journal is a file, which is never away.
    """

    clock: Clock
    journal: Journal
    index: VectorIndex
    memories: Memories
    trajectories: Trajectories
    episodes: Episodes
    summaries: Summaries
    telemetry: Telemetry
    relay: Relay
    health: Health
    desk: TradingDesk | None
    started_at_ns: int
    clients: ClientRegistry
    policies: Policies
    scanner: SecretScanner
    copies: Copies
    erasure: Erasure
    forgetting: Forgetting
    news: News
    keeper: IndexKeeper
    evaluation: Evaluation
    tasks: Tasks
    quotas: Quotas
    logins: Logins
    limits: DraftLimits = field(default_factory=DraftLimits)
    approvals: Approvals | None = None
    heartbeat: Heartbeat | None = None
    phone: Phone | None = None
    confirmations: Confirmations = field(default_factory=Confirmations)
    meters: Meters = field(default_factory=Meters)
    alerts: Alerts | None = None
    calls: SpanRecorder | None = None
    spooling: Spooling | None = None

    @property
    def outbox(self) -> Outbox:
        """What waits on its way to a sink, or from this machine to the journal, for the operator."""
        return Outbox(self.journal, self.relay, self.spooling)
