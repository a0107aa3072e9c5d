"""Which failures of a step are tried again: a database or a disk that may answer in a moment. Never a failed check."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from loaders.errors import StoreUnavailable

MAX_RETRIES = 2
WAIT_SECONDS = 30.0


@contextmanager
def retried() -> Iterator[None]:
    """Ask Dagster to run the step again later where the store did not answer; what it has committed stays."""
    try:
        yield
    except StoreUnavailable as error:
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=WAIT_SECONDS) from error
