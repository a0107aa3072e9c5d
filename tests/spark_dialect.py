"""Compile the dbt project as it would be on Spark, and print the SQL of its models and data tests as JSON.

dbt-spark is not here. What it changes for compiled SQL is done in its stead: dispatched macros are looked for under
`spark__`, and names are quoted by backticks. A program of its own, because it bends dbt for its whole process; called
by tests/integration/dbt/test_compiled_sql.py.
"""

import json
import sys
from pathlib import Path

from dbt.adapters.base.relation import BaseRelation
from dbt.cli.main import dbtRunner
from dbt.context.providers import BaseDatabaseWrapper


def main(target: Path, arguments: list[str]) -> None:
    """Compile with dbt's own arguments; write name → SQL."""
    BaseDatabaseWrapper._get_adapter_macro_prefixes = lambda self: ["spark", "default"]
    BaseRelation.quoted = lambda self, identifier: f"`{identifier}`"
    done = dbtRunner().invoke(["--quiet", "compile", "--no-populate-cache", *arguments])
    if not done.success:
        raise SystemExit(f"dbt cannot compile the project for Spark: {done.exception or done.result}")
    sql = {item.node.name: item.node.compiled_code for item in done.result if item.node.compiled_code}
    target.write_text(json.dumps(sql), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
