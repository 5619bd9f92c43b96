"""Tokens that nobody buys on this desk, whatever profile it trades under."""

from trading.config import LiveSection
from trading.model.profile import Profile


def with_bans(profile: Profile, live: LiveSection) -> Profile:
    """Return the profile with the desk's bans added to its own, by the feed's names and by the chain's mints."""
    named = {name for name, mint in live.mints.items() if mint in live.banned}
    meant = {live.mints[name] for name in live.banned if name in live.mints}
    return with_banned(profile, {*live.banned, *named, *meant})


def with_banned(profile: Profile, mints: set[str]) -> Profile:
    """Return the profile with these bans added; itself where it has them all."""
    missing = mints - set(profile.rugs.banned)
    if not missing:
        return profile
    banned = tuple(sorted({*profile.rugs.banned, *missing}))
    return profile.model_copy(update={"rugs": profile.rugs.model_copy(update={"banned": banned})})
