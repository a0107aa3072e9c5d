"""Verdicts: from the ledger and the asset graph to what may be consumed. Imports no engine.

The one room that exports: `from orchestration.readiness import open_readiness` is how a consumer asks.
"""

from orchestration.readiness.readiness import Readiness, open_readiness

__all__ = ["Readiness", "open_readiness"]
