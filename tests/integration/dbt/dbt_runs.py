"""A run for each command and option of dbt's, as it is typed: what only shows, what is refused, what builds and tests.

`test_doors.py` holds the table of doors (`lakehouse/dbt/doors/ways_in.py`) to these, and runs them. `$NAME` is a folder
or file of the test.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import Template

import click
from click.core import ParameterSource
from dbt.cli.main import cli

LATE, AFTER = "2026-04-14", "2026-04-15"
WINDOW = f"--event-time-start {LATE} --event-time-end {AFTER}"
SMALL = "--project-dir $SMALL --target-path $TARGET"
ASIDE = "--project-dir $SMALL --target-path $ASIDE"
"""Where a parse is not one for the runs after it: of another target, profile or variables."""
FORGE = "{% if execute %}{% do adapter.store_relation('lakehouse', api.Relation.create(schema='silver', identifier='x'), [], '', 'iceberg', {}) %}{% endif %}"


@dataclass(frozen=True)
class Run:
    """One invocation, and what is to come of it."""

    typed: str
    said: str = ""
    """Part of what dbt prints, whatever its line breaks."""
    status: int = 0
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    cwd: str | None = None
    until: str | None = None
    """Printed by a command that does not end by itself."""
    is_dbts: bool = False
    """It is dbt itself that refuses."""

    def arguments(self, places: Mapping[str, object]) -> list[str]:
        """As dbt gets them."""
        return [Template(each).safe_substitute(places) for each in shlex.split(self.typed)]

    @property
    def used(self) -> tuple[str, set[str]]:
        """dbt's names of the command and of the parameters that are typed, or set by a variable."""
        command, arguments = cli, shlex.split(self.typed)
        while isinstance(command, click.Group) and arguments[0] in command.commands:
            command = command.commands[arguments.pop(0)]
        context = command.make_context(command.name, arguments, resilient_parsing=True)
        typed = {p.name for p in command.params if context.get_parameter_source(p.name) is ParameterSource.COMMANDLINE}
        return command.name, typed | {p.name for p in command.params if self.environment.keys() & _variables(p)}


def _variables(param: click.Parameter) -> set[str]:
    return {param.envvar} if isinstance(param.envvar, str) else set(param.envvar or ())


SHOWN = (
    Run("--version --show-resource-report", "duckdb", environment={"HTTPS_PROXY": "http://127.0.0.1:9"}),
    Run("init other --skip-profile-setup", "was created", cwd="$FREE"),
    Run("deps --project-dir $SMALL --add-package $PACKAGE --source local --upgrade", "Installed from"),
    Run("deps --project-dir $SMALL --lock", "Updating lock file"),
    Run("clean --clean-project-files-only", "will not clean the following directories outside the project", 2),
    Run("debug --config-dir", "profiles.yml"),
    Run("debug --connection", "connection ok"),
    Run(
        f"parse {SMALL} --no-static-parser --use-experimental-parser --use-fast-test-edges --no-partial-parse "
        "--show-all-deprecations --record-timing-info $FREE/times",
        "Performance info",
    ),
    Run(
        f"ls --target dev --profile omni {ASIDE} --models source:bronze.raw_ticket_events --output json --output-keys name",
        "No nodes selected",
    ),
    Run(
        "ls --defer --defer-state $STATE --favor-state --select state:modified",
        "No nodes selected",
        environment={"DBT_ARTIFACT_STATE_PATH": "$STATE"},
    ),
    Run("ls --warn-error", "warn_error_options: not allowed with argument warn_error", 2),
    Run(
        "compile --state $STATE --full-refresh --empty --no-introspect --no-inject-ephemeral-ctes --select ticket_fact state:modified"
    ),
    Run(f'compile --inline "{FORGE}"', "only dbt build and dbt run do", 2),
    Run('show --limit 1 --inline-direct "create or replace view silver.ticket_events as select 1 as x"'),
    Run(f'show --inline "{FORGE}"', "only dbt build and dbt run do", 2),
    Run("show --inline \"select count(*) from {{ ref('ticket_events') }}\"", "count_star()"),
    Run("source freshness --output $FREE/fresh.json --select source:bronze.raw_ticket_events", "freshness of bronze"),
    Run("run-operation refuse_what_is_not_ready --args {}"),
    Run(f"run-operation forge {SMALL}", "only dbt build and dbt run do", 1),
    Run("docs generate --single-threaded --no-compile --empty-catalog --static", "Catalog written"),
    Run("docs serve --no-browser --host 127.0.0.1 --port 0", until="Serving docs at"),
)
"""Nothing of the lake is another afterwards."""

_REFUSED = (
    Run("build --empty", "a table stands for all of them"),
    Run("run --sample \"{'start': '2026-04-13', 'end': '2026-04-14'}\"", "a table stands for all of them"),
    Run(f"build --full-refresh {WINDOW}", "a window replaces its own days"),
    Run(f"run {WINDOW}", "a window replaces its own days", environment={"DBT_ENGINE_FULL_REFRESH": "1"}),
    Run("build --defer --state $STATE", "another manifest names"),
    Run("test --state $STATE", "another manifest names", environment={"DBT_DEFER": "1"}),
    Run("run --favor-state", "another manifest names"),
    Run("test", "another manifest names", environment={"DBT_DEFER_TO_STATE": "1", "DBT_ARTIFACT_STATE_PATH": "$STATE"}),
    Run("run", "another manifest names", environment={"DBT_FAVOR_STATE_MODE": "1"}),
    Run("test --store-failures", "dbt found two resources with the database representation", is_dbts=True),
    Run(f"test --vars '{{force: true, day: 1}}' {ASIDE}", "others than the project says"),
    Run(f"test --profiles-dir $PROFILES --target staging {ASIDE}", "no lake is declared"),
    Run(f"test --profiles-dir $PROFILES --profile other {ASIDE}", "no lake is declared"),
    Run("build", "does not have a target named 'nowhere'", environment={"DBT_TARGET": "nowhere"}, is_dbts=True),
    Run("clone --state $STATE", "tables that nobody built"),
    Run(f"seed --show {SMALL}", "gone with dbt's database"),
    Run(f"snapshot {SMALL}", "gone with dbt's database"),
)
REFUSED = tuple(replace(run, status=2) for run in _REFUSED)
"""Before anything is written."""

STEPS = (
    (
        (
            Run(
                f"run {WINDOW} --cache-selected-only --no-populate-cache --no-version-check --sqlparse {{}} "
                "--macro-debugging --debug --log-cache-events --log-path $FREE/logs --log-level-file debug "
                "--log-format-file json --log-file-max-bytes 9999 --no-use-colors --no-use-colors-file --printer-width 40 "
                "--no-send-anonymous-usage-stats --upload-to-artifacts-ingest-api "
                "--no-partial-parse-file-diff --no-write-json"
            ),
            "UNCHECKED",
        ),
        (
            Run(
                "test --fail-fast --threads 4 --indirect-selection eager --quiet --no-print --log-format json "
                """--log-level warn --warn-error-options '{"silence": ["ConfigTargetPathDeprecation"]}'""",
                environment={"DBT_NO_PRINT": "1"},
            ),
            "READY",
        ),
    ),
    (
        (
            Run(
                f"build {WINDOW} --select ticket_events --exclude-resource-type test --exclude-resource-type unit_test "
                "--export-saved-queries --include-saved-query --show"
            ),
            "UNCHECKED",
        ),
        (
            Run(
                "build --resource-type test --select source:bronze.raw_ticket_events ticket_events "
                "--exclude event_status_known"
            ),
            "UNCHECKED",
        ),
        (
            Run("build --resource-type unit_test --select ticket_events --indirect-selection empty", "Nothing to do"),
            "UNCHECKED",
        ),
        (Run("test --resource-type unit_test --select ticket_events"), "UNCHECKED"),
        (
            Run(
                f"test --selector one --vars '{{start: {LATE}, end: {AFTER}}}' --indirect-selection cautious "
                "--project-dir $COPY --profiles-dir $COPY --partial-parse-file-path $STATE/partial_parse.msgpack"
            ),
            "READY",
        ),
    ),
)
"""From the late lake on, one after the other, each with the status of ticket_events on the late day afterwards."""

RETRY = Run("retry")
RUNS = (*SHOWN, *REFUSED, RETRY, *(run for steps in STEPS for run, _ in steps))
