"""CPU and peak memory of one piece of work, each in a fresh process, so that nothing is warm and nothing is counted twice.

Who measures must stay small: on Linux a new process starts with the peak memory of the one that started it. That is why
jobs are named by text, and only the fresh process imports them: `python -m tests.bench.measuring JOB ARGUMENTS`.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_MAXRSS_PER_MB = 1 << 20 if sys.platform == "darwin" else 1 << 10


@dataclass(frozen=True)
class Sample:
    """What a job returned (a JSON value), and what its processes used, start and imports included."""

    value: Any
    cpu_s: float
    wall_s: float
    peak_mb: float
    """Of the job's own process."""
    beside_mb: float
    """Of the largest process that it has started."""


def fresh(job: str, *args: Any) -> Sample:
    """Run `module.function` of this package in a fresh process.

    Raises:
        CalledProcessError: the job raised; the process has said so on stderr.
    """
    command = [sys.executable, "-m", __name__, job, json.dumps(args)]
    started = time.monotonic()
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    # The last line: what a library prints comes before it.
    return Sample(**json.loads(output.splitlines()[-1]), wall_s=time.monotonic() - started)


def cpu_seconds() -> float:
    """CPU seconds, user and system, of this process and of the children that it waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mb() -> float:
    """The most memory that this process had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_PER_MB


def _run(job: str, args: list[Any]) -> dict[str, Any]:
    module, _, function = job.rpartition(".")
    value = getattr(import_module(f"{__package__}.{module}"), function)(*args)
    beside_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MAXRSS_PER_MB
    return {"value": value, "cpu_s": cpu_seconds(), "peak_mb": peak_mb(), "beside_mb": beside_mb}


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], json.loads(sys.argv[2]))))
