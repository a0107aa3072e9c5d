"""`omni contract …`: in what shape it should arrive: data contracts, judged and said in the words of others."""

from pathlib import Path
from typing import Annotated

import typer

from lakehouse.counted import counted
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings
from orchestration.cli.console import JsonOption, ManifestDirOption, console, examples, reported, say, settings_of

contract_app = typer.Typer(no_args_is_help=True, help="In what shape it should arrive: data contracts.")


@contract_app.command("check", epilog=examples("omni contract check", "omni contract check ticket_event"))
def check_contracts(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|PATH]…", help="Contracts, or files of them; default: all.")
    ] = None,
    manifest_dir: ManifestDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge contract files: exit 0 all sound, 1 a rule is broken, 2 a file is not there or cannot be read."""
    from lakehouse.contracts.registry import judge_contract

    with reported():
        settings = settings_of(manifest_dir)
        judged = [(path, judge_contract(path, settings)) for path in _asked_contracts(settings, names)]
        broken = [(path, breach) for path, breaches in judged for breach in breaches]
        if as_json:
            console.print_json(
                data=[
                    {"path": str(path), "valid": not found, "errors": list(map(str, found))} for path, found in judged
                ]
            )
        else:
            say(*(f"{path}: {breach}" for path, breach in broken))
            say(
                f"{counted(len(judged), 'contract')}, {len({path for path, _ in broken})} of them break a rule"
                + ("; next: mend them (docs/reference/contracts.md), then: omni contract check" if broken else "")
            )
    raise typer.Exit(1 if broken else 0)


def _asked_contracts(settings: LakehouseSettings, names: list[str] | None) -> list[Path]:
    """The files of contracts by name or path; all that are in force where none is asked for.

    Raises:
        ConfigurationError: a name is no contract and no file.
    """
    from lakehouse.contracts.registry import contract_files
    from lakehouse.errors import ConfigurationError

    known = {path.stem: path for path in contract_files(settings)}
    unknown = [name for name in names or () if name not in known and not Path(name).is_file()]
    if unknown:
        raise ConfigurationError(
            f"{', '.join(unknown)}: no contract and no file; contracts: {', '.join(known)}; next: name one of them, or "
            "the path of a file"
        )
    return [known.get(name) or Path(name) for name in names] if names else list(known.values())


@contract_app.command("export", epilog=examples("omni contract export --output /tmp/contracts"))
def export_contracts(
    names: Annotated[list[str] | None, typer.Argument(help="Contracts; default: all.")] = None,
    format_: Annotated[str, typer.Option("--format", help="odcs: Open Data Contract Standard, YAML.")] = "odcs",
    output: Annotated[Path | None, typer.Option(help="Folder for one file per contract; default: print.")] = None,
) -> None:
    """Export data contracts to the Open Data Contract Standard."""
    import yaml

    from lakehouse.contracts.registry import load_contract, load_contracts
    from lakehouse.errors import ConfigurationError
    from lakehouse.tables.contract_docs import as_odcs

    with reported():
        if format_ != "odcs":
            raise ConfigurationError(f"format {format_!r}: expected odcs")
        settings = load_settings()
        for name in names or load_contracts(settings).by_name:
            text = yaml.safe_dump(as_odcs(load_contract(settings, name)), sort_keys=False, allow_unicode=True)
            if output is None:
                say("---", *text.splitlines())
            else:
                output.mkdir(parents=True, exist_ok=True)
                (output / f"{name}.odcs.yaml").write_text(text, "utf-8")
                say(f"wrote {output / f'{name}.odcs.yaml'}")


@contract_app.command("dbt", epilog=examples("omni contract dbt ticket_event"))
def start_dbt_model(name: Annotated[str, typer.Argument(help="Contract that names an asset.")]) -> None:
    """Write the dbt source of a contract's asset and a starter Silver model with the tests of its key."""
    from lakehouse.contracts.registry import load_contract
    from lakehouse.dbt.starter import start_model

    with reported():
        settings = load_settings()
        done = start_model(settings, load_contract(settings, name), settings.dbt_project_dir)
        say(*(f"wrote {path}" for path in done.written))
        say(*(f"left as it is: {path}" for path in done.kept))
        say("next: " + ("" if done.kept else "edit the model, then: ") + "omni run")


@contract_app.command("docs", hidden=True)
def write_contract_docs() -> None:
    """Write the pages and dbt sources that come from the shipped contracts."""
    from lakehouse.tables.contract_docs import write_generated

    with reported():
        changed = write_generated(LakehouseSettings(manifests=PROJECT_ROOT / "manifests"), PROJECT_ROOT)
        say(*(f"wrote {path}" for path in changed))
