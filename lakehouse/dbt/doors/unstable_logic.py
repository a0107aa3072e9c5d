"""A model whose SQL follows from the run, and not from the project alone: no verdict could say what it was built by.

Called by `lakehouse.dbt.plugin` before a model is built.
"""

from lakehouse.builds.model import Model
from lakehouse.dbt.declared import Declared
from lakehouse.errors import ConfigurationError


def refuse_another_logic(model: Model, declared: Declared | None) -> None:
    """Stop a model that is not the one that the project says: what it builds would be stale at once.

    Raises:
        ConfigurationError: the SQL that is about to run is not what the project compiles to; nothing was written.
    """
    if declared is None or declared.logic.get(model.name) == model.logic:
        return
    problem = declared.problems.get(model.name)
    found = f"without a database it cannot be compiled ({problem})" if problem else "compiled for itself it is another"
    raise ConfigurationError(
        f"{model.name}: its SQL depends on this run, {found}; expected the same SQL in every run; nothing was written; "
        "next: take is_incremental, run_started_at, invocation_id, queries and variables that this run sets out of the "
        "model and its macros, and say in_window for window(); or, where the project was edited meanwhile, build again"
    )
