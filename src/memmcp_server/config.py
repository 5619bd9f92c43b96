"""Frozen sections. Only ``settings`` reads the environment and the file; everybody else is handed a section."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


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
    """``url`` unset means SQLite in the data directory."""

    url: SecretStr | None = None
    queue_len_max: int = Field(default=4_096, ge=1)
    batch_rows_max: int = Field(default=256, ge=1)
    readers: int = Field(default=2, ge=1, le=16)
    content_bytes_max: int = Field(default=65_536, ge=1)
    metadata_bytes_max: int = Field(default=16_384, ge=2)
    commit_timeout_s: float = Field(default=30.0, gt=0)


class QdrantSection(Section):
    """``url`` unset means the embedded engine in the index worker."""

    url: str | None = None
    api_key: SecretStr | None = None
    collection: str = "memmcp"
    timeout_s: float = Field(default=10.0, gt=0)


class EmbeddingSection(Section):
    """``model`` other than the default is fetched the way fastembed does; ``path`` names a local model directory."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    path: Path | None = None
    cache_dir: Path | None = None
    threads: int = Field(default=1, ge=1)
    allow_download: bool = True


class RelaySection(Section):
    batch_len_max: int = Field(default=64, ge=1)
    attempts_max: int = Field(default=8, ge=1)
    backoff_base_s: float = Field(default=0.5, gt=0)
    backoff_cap_s: float = Field(default=60.0, gt=0, le=3_600)
    poll_s: float = Field(default=1.0, gt=0)


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


class TradingSection(Section):
    """What the server passes on to ``trading.desk``; its own settings are TRADING_*."""

    enabled: bool = True
    feed: str = Field(default="auto", pattern=r"^(auto|market|synthetic(:[0-9]{1,19})?|replay:.+)$")
    money: Literal["paper", "real"] = "paper"
    profile: str = "foundation"


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
    twice as much each time in between. A desk that ends no cycle for ``cycle_s_max`` and three bars is stuck.
    """

    url: SecretStr = SecretStr("")
    interval_s: float = Field(default=60.0, gt=0, le=3_600)
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    attempts_max: int = Field(default=3, ge=1, le=10)
    backoff_base_s: float = Field(default=1.0, gt=0)
    cycle_s_max: float = Field(default=300.0, gt=0)


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
    history: HistorySection = HistorySection()
    phone: PhoneSection = PhoneSection()
    heartbeat: HeartbeatSection = HeartbeatSection()
