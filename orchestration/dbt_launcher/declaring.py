"""Compiles the dbt project and says what it declares (`lakehouse.dbt.declared`), without a database.

A program's half: runs in a fork of `orchestration.dbt_launcher.server`, since dbt keeps state in its process. One
parse, one compile over it. Nothing of `target/` is touched but what a parse writes: `dbt retry` reads the results
there.
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner

from lakehouse.builds.logic import logics_of
from lakehouse.dbt.declared import Declared, hash_of_variable, stamp_of, write_declared
from lakehouse.dbt.definitions import data_test_definition, unit_test_definition

_CLOCK = (re.compile(r"\bmodules\b"), re.compile(r"\bdatetime\b"), re.compile(r"\b(?:now|utcnow|today)\b"))
"""Words of a template that asks the clock of Jinja's `modules.datetime`, whatever it calls it."""
_COMPILE = ("--quiet", "compile", "--no-introspect", "--no-populate-cache", "--no-write-json", "--target-path")


def declare(project: Path, path: Path) -> None:
    """Parse and compile a project, and write what it declares; exits with 1 where it cannot be parsed."""
    stamp = stamp_of(project)  # before it is read: an edit meanwhile leaves a file that is not current
    parsed = dbtRunner().invoke(["--quiet", "parse"])
    if not parsed.success:
        print(parsed.exception or "")
        sys.exit(1)
    manifest: Any = parsed.result
    with tempfile.TemporaryDirectory() as folder:
        sql, problems = _compiled(manifest, folder)
    for key in [key for key in sql if key.startswith("model.") and _asks_the_clock(manifest, manifest.nodes[key])]:
        del sql[key]
        problems.append((key, "it asks the clock; expected the same SQL on every day"))
    nodes = {key: node.to_dict() for key, node in (manifest.nodes | manifest.sources).items()}
    logics = dict(_logics(nodes, sql))
    logic = {name: on_duckdb for name, (on_duckdb, _) in logics.items()}
    on_spark = {name: other for name, (on_duckdb, other) in logics.items() if other != on_duckdb}
    definitions = {
        key: data_test_definition(text, nodes[key]["config"])
        for key, text in sql.items()
        if nodes[key]["resource_type"] == "test"
    }
    definitions |= {key: unit_test_definition(test.to_dict()) for key, test in manifest.unit_tests.items()}
    variables = {name: hash_of_variable(name) for name in manifest.env_vars}
    named = {nodes[key]["name"] if nodes[key]["resource_type"] == "model" else key: why for key, why in problems}
    write_declared(path, Declared(stamp, variables, logic, definitions, on_spark, named))


def _asks_the_clock(manifest: Any, model: Any) -> bool:
    """Whether a model, or a macro that it calls, may compile to another SQL on another day: today both look alike."""
    texts, left, seen = [model.raw_code], set(model.depends_on.macros), set[str]()
    while left:
        seen.add(key := left.pop())
        if (macro := manifest.macros.get(key)) is not None:
            texts.append(macro.macro_sql)
            left |= set(macro.depends_on.macros) - seen
    return any(all(word.search(text) for word in _CLOCK) for text in texts)


def _logics(nodes: Mapping[str, Any], sql: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    for key, text in sql.items():
        if nodes[key]["resource_type"] == "model":
            upstream = [nodes[name] for name in nodes[key]["depends_on"]["nodes"] if name in nodes]
            yield nodes[key]["name"], logics_of(text, nodes[key], upstream)


def _compiled(manifest: Any, folder: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Compiled SQL of the models and data tests that can be compiled, and what is wrong with the others.

    dbt stops at the first that cannot: the halves are tried each by itself, and again.
    """
    selectable = {key: node for key, node in manifest.nodes.items() if node.resource_type in ("model", "test")}
    found: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    left = [sorted({f"fqn:{'.'.join(node.fqn)}" for node in selectable.values()})]
    while left:
        names = left.pop()
        done = dbtRunner(manifest=manifest).invoke([*_COMPILE, folder, "--select", *names])
        if done.success:
            results: Any = done.result
            found |= {r.node.unique_id: r.node.compiled_code for r in results.results if r.node.unique_id in selectable}
        elif len(names) > 1:
            left += [names[: len(names) // 2], names[len(names) // 2 :]]
        else:
            why = " ".join(str(done.exception).split())
            problems += [(key, why) for key, node in selectable.items() if f"fqn:{'.'.join(node.fqn)}" in names]
    return found, problems
