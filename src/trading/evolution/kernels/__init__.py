"""Array kernels: what thousands of parameter sets of a strategy would have done, in compiled passes over the bars.

``screen`` runs each set over a ``Market`` (bars and ``Terms``): first the strategy's opinions, token by token
(``speaking`` and a file for each strategy), then the account over all tokens (``account``, which states what it leaves
out). Candidates that look good here are run in the full engine, which is the judge.
"""

from .market import Market, Terms
from .screening import Filled, Opinion, Screened, fills, opinions, screen, screenable

__all__ = ["Filled", "Market", "Opinion", "Screened", "Terms", "fills", "opinions", "screen", "screenable"]
