"""The memory firewall's scanner: finds secrets in text before it reaches disk, index, log or telemetry."""

from .scanner import RuleScanner

__all__ = ["RuleScanner"]
