"""memMCP: one shared memory and one trading desk for all of a person's agents.

Kept free of imports on purpose: the stdio bridge starts through this package and must be up in milliseconds.
"""

__version__ = "0.1.0"
