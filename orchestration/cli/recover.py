"""`omni recover`: a shell around `lakehouse.recovery`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from lakehouse.settings import load_settings
from orchestration.cli.console import reported, say


def recover_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring back catalog and ledger from the warehouse, where they were lost, broken or set back to an older copy.

    Exit 0: all of it is there, or nothing was lost. Exit 1: a table needs a look. Exit 2: error.
    """
    from lakehouse.recovery.plan import plan_recovery
    from lakehouse.recovery.recover import recover
    from loaders.ingest import look_again

    with reported():
        settings = load_settings()
        plan = plan_recovery(settings, datetime.now(UTC))
        say(*plan.lines)
        if not plan.is_needed:
            say("catalog and ledger know what the warehouse holds: there is nothing to recover")
        elif dry_run:
            say("nothing was changed; next: omni recover")
        else:
            say(*recover(settings, plan, lambda catalog, ledger: look_again(settings, catalog, ledger)))
            say("next: omni run")
    raise typer.Exit(1 if plan.needs_a_look else 0)
