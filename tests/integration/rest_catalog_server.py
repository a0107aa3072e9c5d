"""Iceberg REST catalogs on this machine: Iceberg's own, and one that needs no Java.

The latter has the part of the protocol that pyiceberg speaks, over a `SqlCatalog`.
"""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest
from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest
from pyiceberg.table.update import SetPropertiesUpdate

_JARS = Path("~/.cache/omni-lakehouse/rest-catalog").expanduser()  # before the tests have a home of their own
STATUS = {
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    CommitFailedException: 409,
}


@contextmanager
def serving_rest(folder: Path, warehouse: str) -> Iterator[tuple[str, SqlCatalog]]:
    """Address of a server, and the catalog behind it, by which somebody else may write."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = SqlCatalog("served", uri=f"sqlite:///{folder / 'served.db'}?timeout=30", warehouse=warehouse)

    class Handler(_Handler):
        served = catalog

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", catalog
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: SqlCatalog

    def do_GET(self):
        self._answer(self._get)

    def do_HEAD(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def log_message(self, *_):
        pass

    def _answer(self, act):
        path = [unquote(part) for part in urlsplit(self.path).path.split("/")[2:]]  # without /v1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, text = 200, act(path, body)
        except tuple(STATUS) as error:
            status = STATUS[type(error)]
            text = json.dumps({"error": {"message": str(error), "type": type(error).__name__, "code": status}})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def _get(self, path, _):
        match path:
            case ["config"]:
                return json.dumps({"defaults": {}, "overrides": {}})
            case ["namespaces"]:
                return json.dumps({"namespaces": self.served.list_namespaces()})
            case ["namespaces", namespace]:
                return json.dumps(
                    {"namespace": [namespace], "properties": self.served.load_namespace_properties(namespace)}
                )
            case ["namespaces", namespace, "tables"]:
                found = [{"namespace": [*of], "name": name} for *of, name in self.served.list_tables(namespace)]
                return json.dumps({"identifiers": found})
            case ["namespaces", namespace, "tables", name]:
                table = self.served.load_table((namespace, name))
                return _table(table.metadata_location, table.metadata)
        raise NoSuchTableError(f"{path}: not served")

    def _post(self, path, body):
        match path:
            case ["namespaces"]:
                asked = json.loads(body)
                self.served.create_namespace(tuple(asked["namespace"]), asked.get("properties") or {})
                return json.dumps({"namespace": asked["namespace"], "properties": {}})
            case ["namespaces", namespace, "tables"]:
                return self._stage(namespace, CreateTableRequest.model_validate({"location": None, **json.loads(body)}))
            case ["namespaces", namespace, "tables", name]:
                return self._commit(namespace, name, CommitTableRequest.model_validate_json(body))
        raise NoSuchTableError(f"{path}: not served")

    def _commit(self, namespace, name, asked):
        """As Iceberg's own server: what changes nothing is answered with what is there."""
        if self.served.table_exists((namespace, name)):
            current = self.served.load_table((namespace, name))
            known = current.properties.items()
            if all(isinstance(each, SetPropertiesUpdate) and each.updates.items() <= known for each in asked.updates):
                return _table(current.metadata_location, current.metadata)
        table = SimpleNamespace(name=lambda: (namespace, name))
        return self.served.commit_table(table, asked.requirements, asked.updates).model_dump_json()

    def _stage(self, namespace, asked):
        assert asked.stage_create, "a table is made in a transaction"
        if self.served.table_exists((namespace, asked.name)):
            raise TableAlreadyExistsError(f"{namespace}.{asked.name} exists")
        staged = self.served.create_table_transaction(
            (namespace, asked.name),
            schema=asked.table_schema,
            location=asked.location,
            properties=asked.properties,
        )
        return _table(None, staged.table_metadata)


def _table(location, metadata):
    found = {"metadata-location": location, "metadata": json.loads(metadata.model_dump_json()), "config": {}}
    return json.dumps(found)


@contextmanager
def serving_icebergs_rest(folder: Path, warehouse: str) -> Iterator[tuple[str, SqlCatalog]]:
    """As `serving_rest`, of Iceberg's own server; `make rest-catalog` fetches it."""
    if not (_JARS.is_dir() and shutil.which("java")):
        pytest.skip("no REST catalog of Iceberg's; next: make rest-catalog, which takes Java and Maven")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = Path(__file__).with_name("iceberg_rest") / "Server.java"
    command = ["java", "-Xmx512m", "-cp", f"{_JARS}/*", source, str(port), folder / "served.db", warehouse]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v1/config", server)
        yield f"http://127.0.0.1:{port}", SqlCatalog("served", uri=f"sqlite:///{folder / 'served.db'}?timeout=30")
    finally:
        server.kill()
        server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and server.poll() is None:
        try:
            urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the REST catalog at {address} did not start")
