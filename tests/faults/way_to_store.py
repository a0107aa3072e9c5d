"""A way to an S3 server on which things happen: answers of 503, a body that is cut off, a secret that is taken back.

It passes requests on as they are signed, and tells what came. The product knows it as the store's address.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """What a client asked for: the how-manieth request it is, from 1, and of what."""

    number: int
    method: str
    path: str


Happening = Callable[["_Handler", Request], bool]
"""Does something with a request; True where nothing is to be passed on any more."""


def passes(handler: "_Handler", request: Request) -> bool:
    """Nothing happens."""
    return False


def is_busy(handler: "_Handler", request: Request) -> bool:
    """The store has too much to do."""
    return handler.refuse(503, "SlowDown")


def has_expired(handler: "_Handler", request: Request) -> bool:
    """The secret is one that was good once."""
    return handler.refuse(403, "ExpiredToken")


def is_slow(handler: "_Handler", request: Request) -> bool:
    """The answer takes its time."""
    time.sleep(0.3)
    return False


def is_cut(handler: "_Handler", request: Request) -> bool:
    """The connection ends in the midst of what is sent, whichever side sends it."""
    return handler.cut()


@dataclass
class Way:
    """Where the store is found, what came along, and what happens to which request."""

    endpoint: str
    happens: Happening = passes
    concerns: Callable[[Request], bool] = lambda _: True
    came: list[Request] = field(default_factory=list)
    struck: list[Request] = field(default_factory=list)

    def let(self, happens: Happening, concerns: Callable[[Request], bool] = lambda _: True) -> None:
        """Have something happen to some requests from now on, which are counted anew."""
        self.came.clear()
        self.struck.clear()
        self.happens, self.concerns = happens, concerns

    def heal(self) -> None:
        """Let everything pass again."""
        self.let(passes)


@contextmanager
def way_to(endpoint: str) -> Iterator[Way]:
    """Serve a way to the store at an address, on this machine alone, until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    way = Way(f"http://127.0.0.1:{server.server_port}")
    server.way, server.store, server.lock = way, urlsplit(endpoint).netloc, threading.Lock()  # type: ignore[attr-defined]
    (serving := threading.Thread(target=server.serve_forever)).start()
    try:
        yield way
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go by themselves: 40 ms a request else

    def _pass_on(self) -> None:
        way, body = self.server.way, None  # type: ignore[attr-defined]
        with self.server.lock:  # type: ignore[attr-defined]
            request = Request(len(way.came) + 1, self.command, self.path)
            way.came.append(request)
            if is_struck := way.concerns(request):
                way.struck.append(request)
        if is_struck and way.happens(self, request):
            return
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b"".join(self._chunks())
        elif length := int(self.headers.get("Content-Length", 0)):
            body = self.rfile.read(length)
        connection = self._ask(body)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self._send(answer.getheaders(), content)
        connection.close()

    def _ask(self, body: bytes | None) -> HTTPConnection:
        connection = HTTPConnection(self.server.store)  # type: ignore[attr-defined]
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect", "transfer-encoding"):
                connection.putheader(name, value)
        if body is not None and "Content-Length" not in self.headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, headers: list[tuple[str, str]], content: bytes, part: slice = slice(None)) -> None:
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        length = dict((k.lower(), v) for k, v in headers).get("content-length", "0") if is_head else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if not is_head:
            self.wfile.write(content[part])

    def refuse(self, status: int, code: str) -> bool:
        """Answer with an error of S3's; what was sent is not read, and the connection ends."""
        self.close_connection = True
        content = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Connection", "close")
        self._send([("Content-Type", "application/xml")], content)
        return True

    def cut(self) -> bool:
        """End the connection in the midst of the body: of the request's, where it has one, else of the answer's."""
        self.close_connection = True
        if length := int(self.headers.get("Content-Length", 0)):
            self.rfile.read(length // 2)
            return True
        connection = self._ask(None)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self._send(answer.getheaders(), content, slice(len(content) // 2))
        connection.close()
        return True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        """Say nothing."""
