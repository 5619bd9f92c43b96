"""The operator's command line. It asks the daemon over HTTP and opens no journal that a daemon owns."""

from .root import app

__all__ = ["app"]
