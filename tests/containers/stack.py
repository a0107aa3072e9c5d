"""A copy of the project with its stack of containers, as a person starts it: two commands, word for word.

A copy, since the trial writes infra/env/.env.local and plants secrets that no image may hold.
"""

import json
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from lakehouse.settings import PROJECT_ROOT
from tests.containers.engine import Engine

COPY = "cp infra/env/.env.example infra/env/.env.local"
COMPOSE = "docker compose --env-file infra/env/.env.local -f infra/compose.yaml"
UP = f"{COMPOSE} up -d --build"
OURS = ("code", "webserver", "daemon")
PLANTED = "planted-secret-of-the-trial"

STATE = """
import json
from lakehouse.settings import load_settings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest
from orchestration.readiness import open_readiness
settings = load_settings()
catalog, readiness = open_catalog(settings), open_readiness(settings)
names = [".".join(each) for of in catalog.list_namespaces() for each in catalog.list_tables(of)]
verdicts = [v for asset in readiness.graph.nodes for v in readiness.verdicts(asset).values()]
print(json.dumps({
    "verdicts": {v.name: str(v.status) for v in verdicts},
    "digests": {name: str(content_digest(catalog.load_table(name))) for name in names},
}))
"""


@dataclass(frozen=True)
class Stack:
    """The stack of one copy of the project."""

    engine: Engine
    folder: Path

    def type(self, command: str, **options) -> subprocess.CompletedProcess[str]:
        """What a person types in the folder of the project; any exit status."""
        options = {"env": self.engine.environment, "text": True, "capture_output": True, "check": False, **options}
        return subprocess.run(["sh", "-c", command], cwd=self.folder, **options)

    def inside(self, service: str, *command: str, status: int | None = 0, **options) -> str:
        """What a command in a container prints."""
        return self.compose("exec", "-T", service, *command, status=status, **options).stdout

    def compose(self, *arguments: str, status: int | None = 0, **options) -> subprocess.CompletedProcess[str]:
        """Compose, of this stack."""
        return self.engine.docker(*COMPOSE.split()[1:], *arguments, status=status, cwd=self.folder, **options)

    def states(self) -> dict[str, str]:
        """How each service is: its health, else its state and exit status."""
        rows = [json.loads(line) for line in self.compose("ps", "--all", "--format", "json").stdout.splitlines()]
        return {row["Service"]: row["Health"] or f"{row['State']} {row['ExitCode']}" for row in rows}

    def wait_until_healthy(self, within_s: float = 300) -> dict[str, str]:
        """Their states, as soon as none is still starting."""
        until = time.monotonic() + within_s
        while "starting" in (found := self.states()).values() and time.monotonic() < until:
            time.sleep(2)
        return found

    def inspected(self, service: str) -> dict:
        """What the engine says of its container."""
        name = self.compose("ps", "--all", "--quiet", service).stdout.strip()
        return json.loads(self.engine.docker("inspect", name).stdout)[0]

    def lake(self) -> dict[str, dict[str, str]]:
        """Every verdict, and the digest of every table."""
        return json.loads(self.inside("code", "python", "-c", STATE))

    def ask_dagster(self, query: str) -> dict:
        """The data of a GraphQL answer of the page."""
        body, kind = json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request("http://127.0.0.1:3000/graphql", body, kind)
        return json.load(urllib.request.urlopen(request, timeout=60))["data"]


def copy_project(folder: Path) -> None:
    """What git knows of the project, and secrets as a person's folder holds them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_ROOT / name, folder / name)
    for name in (".env", ".dlt/secrets.toml", "infra/env/.env.local", "infra/env/.env.production"):
        (folder / name).write_text(f"# {PLANTED}\n")
