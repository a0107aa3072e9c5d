"""Measure the figures and print them: `python -m tests.bench [--events N] [--only NAME …] [--json FILE]`.

A figure that misses its reach is a finding, not an error: the exit status stays 0.
"""

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from tests.bench.figures import FIGURES, Figure

_PACKAGES = ("duckdb", "dlt", "pyiceberg", "dbt-core", "dagster")
_ROW = "{:<26} {:>9}  {:>9}  {:<7} {:>8}  {:>8}  {}"


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--events", type=int, default=1_000_000, help="ticket events, in 30 daily files")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="NAME")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    machine = _machine()
    print(f"{options.events} events; {', '.join(f'{name} {value}' for name, value in machine.items())}\n")
    print(_ROW.format("figure", "measured", "reach", "verdict", "CPU s", "peak MB", "of what"))
    figures = []
    with tempfile.TemporaryDirectory() as home:
        _isolate(home)
        for name in options.only:
            for figure in FIGURES[name](options.events):
                print(_row(figure), flush=True)
                figures.append({**asdict(figure), "is_reached": figure.is_reached})
    if options.json is not None:
        document = {"events": options.events, "machine": machine, "figures": figures}
        options.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def _row(figure: Figure) -> str:
    return _ROW.format(
        figure.name,
        f"{figure.measured:.3g} {figure.unit}",
        "" if figure.reach is None else f"{'≥' if figure.at_least else '≤'} {figure.reach:g} {figure.unit}",
        "" if figure.reach is None else "ok" if figure.is_reached else "missed",
        f"{figure.cpu_s:.1f}",
        f"{figure.peak_mb:.0f}",
        figure.details,
    )


def _machine() -> dict[str, str]:
    return {"cores": str(os.cpu_count()), "Python": platform.python_version()} | {p: version(p) for p in _PACKAGES}


def _isolate(home: str) -> None:
    """Keep the developer's own settings out of the processes that are started from here."""
    for name in list(os.environ):
        if name.startswith(("OMNI_", "DLT_", "PYICEBERG_")):
            del os.environ[name]
    os.environ |= {"HOME": home, "RUNTIME__DLTHUB_TELEMETRY": "false"}


if __name__ == "__main__":
    main()
