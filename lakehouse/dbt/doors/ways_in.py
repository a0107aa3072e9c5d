"""Every way in through dbt: what works, and what is refused before anything is written.

One table; `docs/reference/dbt.md` shows it, and a test holds it to every command and option that dbt has. What an
invocation says of itself is judged by `lakehouse.dbt.plugin` when dbt opens the database, past which no hook, macro or
model can step; what it would build, by `lakehouse.dbt.doors.kept_models`. Imports no dbt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import ConfigurationError

PRODUCTION, DEVELOPMENT, SPARK = TARGETS = ("duckdb", "dev", "spark")
"""Targets of profiles.yml."""

BUILDING, TESTING = ("build", "run"), ("build", "test")
"""Commands that write tables, and those that record results."""

WINDOW, FORCE = ("start", "end"), "force"
_VARIABLES = (*WINDOW, FORCE)


@dataclass(frozen=True)
class Invocation:
    """What dbt was started with, from its command line, the environment or an earlier run that it tries again."""

    command: str
    """As dbt calls it: `generate` for `dbt docs generate`, the earlier command for `dbt retry`."""
    target: str
    flags: Mapping[str, Any]
    """dbt's flag, in capitals → its value."""

    @property
    def variables(self) -> Mapping[str, Any]:
        """Those of --vars, not those of dbt_project.yml."""
        return self.flags.get("VARS") or {}

    @property
    def has_window(self) -> bool:
        """Whether days are named."""
        bounds = (
            self.flags.get("EVENT_TIME_START"),
            self.flags.get("EVENT_TIME_END"),
            *map(self.variables.get, WINDOW),
        )
        return any(bounds)


@dataclass(frozen=True)
class Command:
    """A command of dbt's."""

    typed: str
    effect: str
    """What it leaves behind, or the reason why it is refused."""
    way: str | None = None
    """Of a refused one, what to do instead."""


COMMANDS: dict[str, Command] = {
    "build": Command("dbt build", "materializations and results are recorded"),
    "run": Command("dbt run", "materializations are recorded; `UNCHECKED` until tested"),
    "test": Command("dbt test", "results are recorded, for what the invocation read"),
    "retry": Command("dbt retry", "as the command that it tries again, with its window, variables and target"),
    "compile": Command("dbt compile", "nothing is recorded"),
    "show": Command("dbt show", "nothing is recorded, whatever the SQL of `--inline`"),
    "list": Command("dbt ls", "nothing is recorded"),
    "parse": Command("dbt parse", "nothing is recorded"),
    "generate": Command("dbt docs generate", "nothing is recorded"),
    "serve": Command("dbt docs serve", "nothing is recorded"),
    "freshness": Command("dbt source freshness", "nothing is recorded: no check of a partition"),
    "run-operation": Command("dbt run-operation", "nothing is recorded; what it writes is gone with dbt's database"),
    "debug": Command("dbt debug", "nothing is recorded"),
    "deps": Command("dbt deps", "nothing is recorded"),
    "clean": Command(
        "dbt clean",
        "nothing is recorded; it refuses what is outside of the project, as artifacts under `OMNI_HOME` are",
    ),
    "init": Command("dbt init", "nothing is recorded; it is for another project"),
    "seed": Command(
        "dbt seed",
        "its rows would be gone with dbt's database, in memory",
        "build it with what reads it: dbt build --select SEED+, which is never READY; or load it by a contract",
    ),
    "snapshot": Command(
        "dbt snapshot",
        "its history would be gone with dbt's database, in memory",
        "keep history in a model, as knowledge_doc_history does",
    ),
    "clone": Command(
        "dbt clone", "it would stand for tables that nobody built", "build them, or try a change with --target dev"
    ),
}
"""dbt's name of a command → what becomes of it."""


@dataclass(frozen=True)
class Option:
    """An option that would make a build or its results other than they say."""

    typed: str
    names: tuple[str, ...]
    """dbt's names of the parameters."""
    is_wrong: Callable[[Invocation], bool]
    reason: str
    way: str


def _is_set(*names: str) -> Callable[[Invocation], bool]:
    return lambda invocation: any(invocation.flags.get(name) not in (None, False) for name in names)


REFUSED_OPTIONS = (
    Option(
        "--empty",
        ("empty",),
        _is_set("EMPTY"),
        "it would read a part of its inputs, and a table stands for all of them",
        "leave it out, or build a few days: --event-time-start DAY --event-time-end DAY",
    ),
    Option(
        "--sample",
        ("sample",),
        _is_set("SAMPLE"),
        "it would read a part of its inputs, and a table stands for all of them",
        "leave it out, or build a few days: --event-time-start DAY --event-time-end DAY",
    ),
    Option(
        "--full-refresh with a window",
        ("full_refresh",),
        lambda invocation: bool(invocation.flags.get("FULL_REFRESH")) and invocation.has_window,
        "a window replaces its own days, a full refresh the whole table",
        "leave out one of them",
    ),
    Option(
        "--defer, --favor-state",
        ("defer", "favor_state", "deprecated_defer", "deprecated_favor_state"),
        _is_set("DEFER", "FAVOR_STATE"),
        "it would read tables that another manifest names",
        "leave it out: what is not selected is read as it stands; --state alone selects",
    ),
    Option(
        "--store-failures",
        ("store_failures",),
        _is_set("STORE_FAILURES"),
        "its tables would be gone with dbt's database, in memory; and dbt wants another name for each test then",
        "look at the failing rows: dbt show --select TEST",
    ),
    Option(
        "--vars with another name than start, end, force",
        ("vars",),
        lambda invocation: invocation.target != DEVELOPMENT and bool(invocation.variables.keys() - {*_VARIABLES}),
        "models and tests would be others than the project says",
        "put the value into vars of dbt_project.yml, or try it with --target dev",
    ),
    Option(
        "--target, --profile other than duckdb, spark and dev of profiles.yml",
        ("target", "profile", "profiles_dir"),
        lambda invocation: invocation.target not in TARGETS,
        "no lake is declared for it",
        "leave it out, or --target dev",
    ),
)
"""Refused with the commands that build or test; with the others they show what there is, and may be used."""

HARMLESS_OPTIONS: dict[str, tuple[str, ...]] = {
    "a window of whole UTC days": ("event_time_start", "event_time_end"),
    "a selection: what is not built stays as it is, what is not tested stays `UNCHECKED`": (
        "select",
        "exclude",
        "selector",
        "resource_types",
        "exclude_resource_types",
        "models",
        "indirect_selection",
        "state",
        "defer_state",
        "deprecated_state",
        "export_saved_queries",
        "include_saved_query",
    ),
    "where the project, its parse and the artifacts lie; verdicts read a manifest of their own": (
        "project_dir",
        "target_path",
        "partial_parse",
        "partial_parse_file_diff",
        "partial_parse_file_path",
        "static_parser",
        "use_experimental_parser",
        "use_fast_test_edges",
        "write_json",
        "upload_to_artifacts_ingest_api",
    ),
    "when to stop: what ran is recorded": ("fail_fast", "warn_error", "warn_error_options"),
    "threads, and what dbt asks of the database": (
        "threads",
        "single_threaded",
        "cache_selected_only",
        "populate_cache",
        "introspect",
        "version_check",
        "macro_debugging",
        "sqlparse",
    ),
    "what is shown or written as documentation": (
        "args",
        "browser",
        "compile",
        "connection",
        "config_dir",
        "debug",
        "deprecated_print",
        "empty_catalog",
        "host",
        "inject_ephemeral_ctes",
        "inline",
        "inline_direct",
        "limit",
        "log_cache_events",
        "log_file_max_bytes",
        "log_format",
        "log_format_file",
        "log_level",
        "log_level_file",
        "log_path",
        "macro",
        "output",
        "output_keys",
        "port",
        "print",
        "printer_width",
        "quiet",
        "record_timing_info",
        "send_anonymous_usage_stats",
        "show",
        "show_all_deprecations",
        "show_resource_report",
        "static",
        "use_colors",
        "use_colors_file",
        "version",
    ),
    "packages and projects": (
        "add_package",
        "clean_project_files_only",
        "lock",
        "project_name",
        "skip_profile_setup",
        "source",
        "upgrade",
    ),
}
"""What they change → dbt's names of the parameters."""


def refuse_a_wrong_door(invocation: Invocation) -> None:
    """Stop an invocation that would write, or record results of, what is not what it says.

    Raises:
        ConfigurationError: it would; nothing was built, tested or recorded.
    """
    command = COMMANDS.get(invocation.command)
    if command is None:
        _refuse(f"dbt {invocation.command}", "nothing is known of this command", "one of docs/reference/dbt.md")
    elif command.way is not None:
        _refuse(command.typed, command.effect, command.way)
    elif invocation.command in {*BUILDING, *TESTING}:
        for option in REFUSED_OPTIONS:
            if option.is_wrong(invocation):
                _refuse(
                    f"{command.typed} with {option.typed}",
                    option.reason,
                    f"{option.way} (a variable DBT_… counts, too)",
                )


def refuse_a_record(command: str, commands: tuple[str, ...], what: str) -> None:
    """Stop a macro that hands over what its command does not make.

    Raises:
        ConfigurationError: the command is none of those that do; nothing was recorded.
    """
    if command not in commands:
        typed = " and ".join(f"dbt {each}" for each in commands)
        _refuse(f"dbt {command} with a macro that hands over {what}", f"only {typed} do", "take it out of the macro")


def _refuse(found: str, reason: str, way: str) -> None:
    raise ConfigurationError(f"{found}: {reason}; nothing was built, tested or recorded; next: {way}")
