"""Frozen sections. Only ``settings`` reads the environment and the file; everybody else is handed a section."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from .domain.alert import Rule, Severity
from .domain.alert_rules import rules_of

RuleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSection(Section):
    """``host`` other than loopback needs a token; ``allowed_hosts`` extends the Host allow-list.

    ``tokens_required``: also over loopback nobody is let in without a token (`memmcp token`). ``public_url`` is how
    others reach this daemon; with it, access tokens of the ``authorization_servers`` (OAuth) are taken too.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65_535)
    token: SecretStr | None = None
    allowed_hosts: tuple[str, ...] = ()
    tokens_required: bool = False
    public_url: str | None = None
    authorization_servers: tuple[str, ...] = ()
    body_bytes_max: int = Field(default=1_048_576, ge=1_024)
    streams_max: int = Field(default=256, ge=1)


class JournalSection(Section):
    """``url`` unset means SQLite in the data directory.

    The spool is used where the journal is a server: while it is away, up to ``spool_rows_max`` memories in
    ``spool_bytes_max`` are kept in the data directory; a write waits ``spool_after_s`` for an answer before that.

    ``absent_days``: on a server, what waits for a daemon that did not come for so long is dropped; when it comes back
    its index is filled anew.
    """

    url: SecretStr | None = None
    absent_days: int = Field(default=7, ge=1)
    queue_len_max: int = Field(default=4_096, ge=1)
    batch_rows_max: int = Field(default=256, ge=1)
    readers: int = Field(default=2, ge=1, le=16)
    content_bytes_max: int = Field(default=65_536, ge=1)
    metadata_bytes_max: int = Field(default=16_384, ge=2)
    commit_timeout_s: float = Field(default=30.0, gt=0)
    spool_rows_max: int = Field(default=50_000, ge=1)
    spool_bytes_max: int = Field(default=268_435_456, ge=1_024)
    spool_after_s: float = Field(default=5.0, gt=0)


OnDisk = Literal["vectors", "words", "graph", "payload", "payload_indexes"]


class QdrantSection(Section):
    """``url`` unset means the embedded engine in the index worker; what stands below ``timeout_s`` is for a server.

    Unset, a server's own defaults hold. ``shards`` counts for the next collection only (`memmcp index rebuild` makes
    one without a pause), the rest also for one that is there. ``quantize_from``: from so many points on the vectors are
    kept as int8 in memory, and the best found are judged anew by the exact ones; 0 for never. ``on_disk`` names what is
    read from the disk instead of from memory. ``read_consistency``: how many replicas must agree on an answer.
    """

    url: str | None = Field(default=None, pattern=r"^(:memory:|https?://[^\s/?#@]+(/[^\s?#]*)?)$")
    api_key: SecretStr | None = None
    collection: str = "memmcp"
    timeout_s: float = Field(default=10.0, gt=0)
    shards: int | None = Field(default=None, ge=1, le=1_024)
    replicas: int | None = Field(default=None, ge=1, le=32)
    write_consistency: int | None = Field(default=None, ge=1, le=32)
    write_ordering: Literal["weak", "medium", "strong"] = "medium"
    read_consistency: Literal["one", "majority", "quorum", "all"] = "one"
    on_disk: tuple[OnDisk, ...] = ()
    quantize_from: int = Field(default=1_000_000, ge=0)
    hnsw_m: int | None = Field(default=None, ge=0, le=128)
    hnsw_payload_m: int | None = Field(default=None, ge=0, le=128)
    hnsw_ef_construct: int | None = Field(default=None, ge=4, le=4_096)
    hnsw_ef: int | None = Field(default=None, ge=1, le=4_096)

    @model_validator(mode="after")
    def _every_write_can_be_confirmed(self) -> Self:
        replicas = self.replicas or 1
        if (self.write_consistency or 1) > replicas:
            msg = f"write_consistency is {self.write_consistency}; it is at most replicas, which is {replicas}"
            raise ValueError(msg)
        return self


class EmbeddingSection(Section):
    """``model`` other than the default is fetched the way fastembed does; ``path`` names a local model directory."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    path: Path | None = None
    cache_dir: Path | None = None
    threads: int = Field(default=1, ge=1)
    allow_download: bool = True


class RelaySection(Section):
    """``linger_s``: so long what is for a server elsewhere gathers after a delivery, before the next is made: each
    request costs the trading loop time. A full batch does not wait."""

    batch_len_max: int = Field(default=64, ge=1)
    attempts_max: int = Field(default=8, ge=1)
    backoff_base_s: float = Field(default=0.5, gt=0)
    backoff_cap_s: float = Field(default=60.0, gt=0, le=3_600)
    poll_s: float = Field(default=1.0, gt=0)
    linger_s: float = Field(default=0.25, ge=0, le=10)


class NewsSection(Section):
    """What agents are told of each other's changes.

    ``block_enabled`` false: no tool's answer carries news. ``items_max`` and ``tokens_max`` bound that block; an answer
    waits at most ``block_wait_s`` for it, and goes without when the journal is slower. ``wait_s_max`` and
    ``waiters_max`` bound the readers that wait for a change.
    """

    block_enabled: bool = True
    items_max: int = Field(default=3, ge=1, le=10)
    tokens_max: int = Field(default=200, ge=50, le=2_000)
    block_wait_s: float = Field(default=0.05, gt=0, le=5)
    wait_s_max: float = Field(default=30.0, ge=0, le=300)
    waiters_max: int = Field(default=256, ge=1)


class TasksSection(Section):
    """Tasks that the server files by itself: ``loss_reviews_per_day_max`` (0: none) trades of the desk that lost at
    least ``loss_lamports_min`` are put before the agents in a day."""

    loss_reviews_per_day_max: int = Field(default=5, ge=0, le=100)
    loss_lamports_min: int = Field(default=10_000_000, ge=1)


class OrdersSection(Section):
    """Whether the user is asked in the client before an agent's order, where the client can ask (elicitation).

    ``ask_in_client``: always; real: for real money only; never. No answer within ``answer_wait_s``, best
    below the life of a preview, is a no. Real money waits for the operator's approval all the same.
    """

    ask_in_client: Literal["always", "real", "never"] = "always"
    answer_wait_s: float = Field(default=50.0, gt=0, le=3_600)


class QuotasSection(Section):
    """How often one agent may call in a minute, 0 for as often as it likes: enough for any honest one."""

    reads_per_minute_max: int = Field(default=1_200, ge=0)
    writes_per_minute_max: int = Field(default=1_200, ge=0)
    orders_per_minute_max: int = Field(default=60, ge=0)


class DaemonSection(Section):
    """``idle_exit_s``: a daemon with no client, no page and no trading ends after this long."""

    idle_exit_s: float = Field(default=900.0, gt=0)
    shutdown_timeout_s: float = Field(default=10.0, gt=0)
    log_bytes_max: int = Field(default=10_485_760, ge=65_536)


class LogsSection(Section):
    """``format`` of the daemon's log file: json (a line of it for each record) or text."""

    format: Literal["json", "text"] = "json"


class MetricsSection(Section):
    """How /metrics asks the parts of the daemon: each answers within ``part_timeout_s`` or is told as down, and what
    was asked less than ``fresh_s`` ago is told again."""

    fresh_s: float = Field(default=1.0, ge=0, le=300)
    part_timeout_s: float = Field(default=2.0, gt=0, le=30)


class AlertRule(Section):
    """What the operator changes of a rule that is shipped, or says of one of their own (reading, raise_at, clear_at).

    Raised from ``raise_at`` on (below it where ``clear_at`` is the larger one), over at ``clear_at``; see
    ``domain.alert.Rule``. What is left out stays as it is shipped.
    """

    enabled: bool | None = None
    reading: str | None = Field(default=None, max_length=48)
    severity: Severity | None = None
    raise_at: float | None = None
    clear_at: float | None = None
    for_s: float | None = Field(default=None, ge=0, le=86_400)
    clear_for_s: float | None = Field(default=None, ge=0, le=3_600)
    escalate_after_s: float | None = Field(default=None, ge=10, le=7 * 86_400)
    labels: dict[str, str] | None = Field(default=None, max_length=8)
    inhibited_by: str | None = None
    channels: tuple[str, ...] | None = Field(default=None, max_length=16)
    title: str | None = Field(default=None, min_length=1, max_length=120)
    text: str | None = Field(default=None, min_length=1, max_length=400)
    advice: str | None = Field(default=None, min_length=1, max_length=400)

    def changes(self) -> dict[str, Any]:
        """Return what is said."""
        return {name: value for name in self.model_fields_set if (value := getattr(self, name)) is not None}


class AlertsSection(Section):
    """What is told to a person. ``rules`` changes or adds rules by name; ``sample_s``: how often is looked."""

    enabled: bool = True
    sample_s: float = Field(default=1.0, ge=0.1, le=60)
    rules: dict[RuleName, AlertRule] = Field(default_factory=dict, max_length=128)

    @model_validator(mode="after")
    def _rules_make_sense(self) -> Self:
        self.in_force()
        return self

    def in_force(self) -> tuple[Rule, ...]:
        """Return the rules, those that are switched off included."""
        return rules_of({name: rule.changes() for name, rule in self.rules.items()})


class ChannelSection(Section):
    """Where alerts go: ``url`` as apprise writes it (tgram://, discord://, slack://, mailto://, ntfy://, json://).

    ``severity_min``: less severe ones are not told. ``quiet``: hours of the day ("22:00-07:00", in
    the ``zone``) in which only critical ones are. ``resolved``: also tell when it is over.
    """

    url: SecretStr
    severity_min: Severity = Severity.WARNING
    resolved: bool = True
    quiet: str = Field(default="", pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    zone: str = Field(default="UTC", max_length=64)
    timeout_s: float = Field(default=15.0, gt=0, le=120)

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, LookupError) as error:
            msg = "a zone's name, such as UTC or Europe/Berlin"
            raise ValueError(msg) from error
        return value


class ChannelsSection(Section):
    """Channels by name. ``stale_after_s``: what is older than this when a channel is back is told in one sum, not one
    by one; ``messages_max``: so many messages at once before they are summed up too."""

    named: dict[ChannelName, ChannelSection] = Field(default_factory=dict, max_length=16)
    stale_after_s: float = Field(default=3_600.0, ge=60)
    messages_max: int = Field(default=8, ge=1, le=64)


class TradingSection(Section):
    """What the server passes on to ``trading.desk``; its own settings are TRADING_*.

    ``take_over``: where several daemons share a journal, take the desk from the one that keeps it. Its trades stay in
    that one's data directory: only when it will never run again.
    """

    enabled: bool = True
    take_over: bool = False
    feed: str = Field(default="auto", pattern=r"^(auto|market|synthetic(:[0-9]{1,19})?|replay:.+)$")
    money: Literal["paper", "real"] = "paper"
    profile: str = "foundation"


class LangfuseSection(Section):
    """Langfuse is told of every decision as soon as both keys are set. ``sample_rate``: the share of decisions that is
    kept, whole. ``environment`` unset: paper or real, after the desk's money."""

    public_key: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[!-9;-~]+$")
    secret_key: SecretStr | None = None
    base_url: str = Field(default="https://cloud.langfuse.com", pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")
    environment: str | None = Field(default=None, pattern=r"^[a-z0-9_-]{1,40}$")
    sample_rate: float = Field(default=1.0, ge=0, le=1)
    timeout_s: float = Field(default=10.0, gt=0, le=60)

    @property
    def is_on(self) -> bool:
        return self.public_key is not None and self.secret_key is not None

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if (self.environment or "").startswith("langfuse"):
            msg = f"environment is {self.environment}; one that does not begin with langfuse, which is its own word"
            raise ValueError(msg)
        if (self.public_key is None) is not (self.secret_key is None):
            msg = "public_key and secret_key, both or neither"
            raise ValueError(msg)
        return self


class OtlpSection(Section):
    """Any receiver of OpenTelemetry's traces over HTTP: ``endpoint`` is its address, with or without ``/v1/traces``;
    unset: nothing is sent. ``headers`` may hold keys."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/?#@]+(/[^\s#]*)?$")
    headers: dict[str, SecretStr] = Field(default={}, max_length=32)
    sample_rate: float = Field(default=1.0, ge=0, le=1)
    timeout_s: float = Field(default=10.0, gt=0, le=60)


class TracingSection(Section):
    """What both receivers are told. ``content``: whose texts are sent, those of the desk and its sidecar, all (also
    what agents write down), or none. Spans of calls that cannot be sent wait in at most ``spool_bytes_max`` on disk."""

    content: Literal["desk", "all", "none"] = "desk"
    batch_len_max: int = Field(default=256, ge=1, le=2_048)
    spool_bytes_max: int = Field(default=67_108_864, ge=65_536)


class HistorySection(Section):
    """How the snapshots of desks (whole documents) are thinned as they grow old. Every one stays for ``every_days``;
    then a few a minute until ``minutes_days``, and a few an hour for ever: the first and last of each, and those with
    the lowest and highest equity and the deepest drawdown."""

    every_days: float = Field(default=2.0, gt=0, le=36_500)
    minutes_days: float = Field(default=30.0, gt=0, le=36_500)

    @model_validator(mode="after")
    def _minutes_come_after_every_one(self) -> Self:
        if self.minutes_days < self.every_days:
            msg = f"minutes_days is {self.minutes_days:g}; it is at least every_days, which is {self.every_days:g}"
            raise ValueError(msg)
        return self


class PhoneSection(Section):
    """The operator's phone: a chat with a bot of Telegram, off while ``token`` is empty.

    ``users`` are the ids of those who may speak with it, in private chats alone; empty is nobody. What changes the desk
    takes the PIN of `memmcp phone pin`, within ``code_s`` of the bot's question; a message older than
    ``message_age_s_max`` when it comes is not acted on. What a command came to is followed for at most ``follow_s``.
    ``alerts_from``: the least severity that is sent to every user. ``poll_s`` is how long one question for messages
    waits, any other call takes at most ``timeout_s``.
    """

    token: SecretStr | None = None
    users: tuple[int, ...] = Field(default=(), max_length=16)
    base_url: str = "https://api.telegram.org"
    alerts_from: Literal["info", "warning", "critical", "none"] = "warning"
    message_age_s_max: float = Field(default=120.0, gt=0, le=600)
    code_s: float = Field(default=60.0, gt=0, le=600)
    follow_s: float = Field(default=180.0, gt=0, le=3_600)
    poll_s: int = Field(default=25, ge=0, le=50)
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    attempts_max: int = Field(default=3, ge=1, le=10)
    backoff_base_s: float = Field(default=1.0, gt=0)
    backoff_cap_s: float = Field(default=60.0, gt=0, le=600)
    retry_after_cap_s: float = Field(default=300.0, gt=0, le=3_600)


class HeartbeatSection(Section):
    """The dead man's switch: an address outside of this machine, off while ``url`` is empty, that is asked every
    ``interval_s`` while all is well (with /start after it at the start, /fail when something is wrong), and raises the
    alarm when it is not. A beat that fails is sent again, ``attempts_max`` times in all, with ``backoff_base_s`` and
    twice as much each time in between. A desk that ends no cycle for ``cycle_s_max`` and three bars is stuck. Beats end
    at once when something is wrong; /fail tells of what has lasted for ``fail_after_s``.
    """

    url: SecretStr = SecretStr("")
    interval_s: float = Field(default=60.0, gt=0, le=3_600)
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    attempts_max: int = Field(default=3, ge=1, le=10)
    backoff_base_s: float = Field(default=1.0, gt=0)
    cycle_s_max: float = Field(default=300.0, gt=0)
    fail_after_s: float = Field(default=180.0, ge=0, le=86_400)


class Sections(Section):
    data_dir: Path
    http: HttpSection = HttpSection()
    journal: JournalSection = JournalSection()
    qdrant: QdrantSection = QdrantSection()
    embedding: EmbeddingSection = EmbeddingSection()
    relay: RelaySection = RelaySection()
    news: NewsSection = NewsSection()
    tasks: TasksSection = TasksSection()
    orders: OrdersSection = OrdersSection()
    quotas: QuotasSection = QuotasSection()
    daemon: DaemonSection = DaemonSection()
    logs: LogsSection = LogsSection()
    metrics: MetricsSection = MetricsSection()
    trading: TradingSection = TradingSection()
    langfuse: LangfuseSection = LangfuseSection()
    otlp: OtlpSection = OtlpSection()
    tracing: TracingSection = TracingSection()
    alerts: AlertsSection = AlertsSection()
    channels: ChannelsSection = ChannelsSection()
    history: HistorySection = HistorySection()
    phone: PhoneSection = PhoneSection()
    heartbeat: HeartbeatSection = HeartbeatSection()
