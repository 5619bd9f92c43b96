"""The operator's phone: alerts out, and a few commands back that can only make the desk safer."""

from .alerts import PhoneAlerts
from .carrying import Carrying
from .keeping import Keeping
from .phone import Phone
from .sink import PHONE_SINK, PhoneSink

__all__ = ["PHONE_SINK", "Carrying", "Keeping", "Phone", "PhoneAlerts", "PhoneSink"]
