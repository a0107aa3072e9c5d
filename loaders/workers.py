"""The same work on many things: in this process, or in others beside it, on all cores that it may use.

A share of the things is one process's at a time, so that what it makes for one serves the next. Results come one by
one, as they are done. A process that dies fails what it was at, and nothing else. Each is this module, started as a
program: a fork would lack the threads that DuckDB and pyarrow have begun, and `multiprocessing`'s `spawn` imports the
program of its caller, which may be Dagster.
"""

import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Generic, TypeVar

import duckdb
import pyarrow as pa

from loaders.errors import LoaderError, TookTooLong, WorkerDied

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Work(Generic[T, R]):
    """What is done with each thing, wherever that happens: all of it can be pickled."""

    make: Callable[..., Callable[[T], R]]
    """Makes, once for each share, what does it."""
    arguments: tuple[Any, ...]
    cpu_seconds: int | None = None
    """What one thing may take; it is always done beside then, where a process can be ended."""

    def of(self, share: Sequence[T]) -> Iterator[R | Exception]:
        """The result of each thing, or the error that it ended with."""
        one = self.make(*self.arguments)
        for thing in share:
            try:
                yield one(thing)
            except Exception as error:  # raised by who asked for the result
                yield error


@cache
def usable_cores() -> int:
    """Cores that this process may use.

    DuckDB knows a container's share of them, which Python does not, and not those that a process is bound to.
    """
    with duckdb.connect() as connection:
        (granted,) = connection.execute("select current_setting('threads')").fetchone() or (1,)
    return min(granted, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else int(granted)


class Workers:
    """So many processes at most, started when there is work for more than one; each serves until the end."""

    def __init__(self, most: int | None = None) -> None:
        """Start none yet; as many as there are cores where no number is given."""
        self.most = most or usable_cores()
        self._idle: list[_Worker] = []

    def __enter__(self) -> "Workers":
        """Nothing is to be done."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        while self._idle:
            self._idle.pop().kill()

    def do(self, work: Work[T, R], shares: Sequence[Sequence[T]]) -> Iterator[tuple[T, R | LoaderError]]:
        """Do the work; in this process where there is one share, or it may be one process only, and nothing is bounded.

        Returns:
            Each thing with its result, or with the error of the project's own that it ended with; of a share in their
            order.

        Raises:
            Exception: whatever else the work of a thing ended with; what has not begun is not done then.
        """
        is_beside = work.cpu_seconds or min(self.most, len(shares)) > 1
        done = self._beside(work, shares) if is_beside else _here(work, shares)
        for thing, result in done:
            if isinstance(result, Exception) and not isinstance(result, LoaderError):
                raise result
            yield thing, result

    def _beside(self, work: Work[T, Any], shares: Sequence[Sequence[T]]) -> Iterator[tuple[T, Any]]:
        left, busy = deque(share for share in shares if share), dict[Any, _Worker]()
        self._idle += [_Worker() for _ in range(min(self.most, len(left)) - len(self._idle))]
        try:
            while left or busy:
                while left and self._idle:
                    worker = self._idle.pop()
                    worker.begin(work, left.popleft())
                    busy[worker.connection] = worker
                for connection in wait([*busy]):
                    worker = busy[connection]
                    thing, result = worker.receive()
                    if isinstance(result, WorkerDied):
                        left += [[*worker.things]] if worker.things else []
                        worker = _Worker()
                    if not worker.things:
                        del busy[connection]
                        self._idle.append(worker)
                    yield thing, result
        finally:
            for worker in busy.values():
                worker.kill()


def _here(work: Work[T, Any], shares: Sequence[Sequence[T]]) -> Iterator[tuple[T, Any]]:
    for share in shares:
        yield from zip(share, work.of(share), strict=True)


class _Worker:
    """A process, and what it has yet to do."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        self.things: deque[Any] = deque()
        command = [sys.executable, "-P", "-m", "loaders.workers", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()

    def begin(self, work: Work[Any, Any], share: Sequence[Any]) -> None:
        self.things = deque(share)
        with suppress(BrokenPipeError):  # it has died: to receive says so
            self.connection.send((work, share))

    def receive(self) -> tuple[Any, Any]:
        """The next thing that is done, and its result."""
        try:
            result = self.connection.recv()
        except (EOFError, OSError):  # the latter in the midst of a result
            ended = self._process.wait()
            result = WorkerDied(f"its process ended with {ended}; next: run it again; {_ADVICE}")
            if ended == -signal.SIGXCPU:
                result = TookTooLong("it takes more CPU time than it may; next: split what is read")
        return self.things.popleft(), result

    def kill(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()


_ADVICE = "-9 is mostly a lack of memory: with a smaller OMNI_WORKERS fewer files are held at a time"


def _serve(connection: Connection) -> None:
    """Work for the process that has started this one, until it ends or has no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is sent to both: the other one kills this one
    pa.set_cpu_count(1)  # there is a process for each core
    with suppress(EOFError, ConnectionError):
        while True:
            work, share = connection.recv()
            results = work.of(share)
            for _ in share:
                _bound(work.cpu_seconds)
                result = next(results)
                if isinstance(result, Exception):  # a traceback cannot be sent
                    result.add_note("".join(traceback.format_exception(result)))
                connection.send(result)


def _bound(cpu_seconds: int | None) -> None:
    """Have the system end this process when it has taken so much more."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(time.process_time()) + 1 + cpu_seconds if cpu_seconds else most
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if most < 0 else min(wanted, most), most))


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
