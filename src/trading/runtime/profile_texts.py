"""Profiles in words: what a switch changed."""

from typing import Final

from trading.model.events import ProfileSwitched

CHANGES_TOLD: Final = 12


def switch_text(event: ProfileSwitched) -> str:
    """Return what the memory of a switch says: from, to, why, and what is other now."""
    told = [f"{each.field} {each.before or 'none'} -> {each.after or 'none'}" for each in event.changes[:CHANGES_TOLD]]
    rest = len(event.changes) - len(told)
    more = f", and {rest} more" if rest else ""
    what = f" Changed: {', '.join(told)}{more}." if told else ""
    return f"Profile {event.before} was switched to {event.after}: {event.reason}.{what}"
