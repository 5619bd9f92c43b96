"""Channels of the configuration: who carries alerts to the operator, and what of them."""

from .config import Sections
from .domain.messages import Told, money_word
from .ports import Clock, Journal, Messenger, SecretScanner
from .services.alerting.alerts import Alerts
from .services.alerting.channel_sink import ChannelSink, spec_of

__all__ = ["alerts_of", "names", "sinks", "spec_of"]


def names(sections: Sections) -> tuple[str, ...]:
    """Return the channels that are told of alerts."""
    return tuple(sections.channels.named) if sections.alerts.enabled else ()


def sinks(sections: Sections, journal: Journal, clock: Clock) -> list[ChannelSink]:
    """Return a sink of the outbox for each channel."""
    return [
        ChannelSink(name, messenger, sections.channels, journal, clock, told_of(sections))
        for name, messenger in _messengers(sections).items()
    ]


def alerts_of(sections: Sections, journal: Journal, clock: Clock, scanner: SecretScanner) -> Alerts | None:
    """Return the alerts of this daemon, None where they are switched off."""
    if not sections.alerts.enabled:
        return None
    rules = sections.alerts.in_force()
    return Alerts(journal, clock, rules, _messengers(sections), told_of(sections), scanner)


def told_of(sections: Sections) -> Told:
    """Return what every message says beside its alert: whose money it is about, and where the page is."""
    base_url = sections.http.public_url or f"http://127.0.0.1:{sections.http.port}"
    return Told(money_word(sections.trading.money, is_enabled=sections.trading.enabled), base_url.rstrip("/"))


def _messengers(sections: Sections) -> dict[str, Messenger]:
    if not names(sections):
        return {}
    from .adapters.apprise_channel import AppriseChannel

    return {
        name: AppriseChannel(name, channel.url, channel.timeout_s) for name, channel in sections.channels.named.items()
    }
