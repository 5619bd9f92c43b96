"""Where market events come from: recorded bars, a generated market. Feeds over the network live in ``adapters``."""
