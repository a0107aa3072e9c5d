"""Where the code of each asset is, as the graph shows it: files here, or their pages in the repository of the settings.

What dbt models are computed by, dagster-dbt adds itself (`orchestration.graph.dbt_specs`).
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings


def with_code_references(settings: LakehouseSettings, assets: Sequence[dg.AssetsDefinition]) -> Sequence[Any]:
    """The assets, each with the place of the function that materializes it beside the references that it has."""
    found = dg.with_source_code_references(assets)
    if settings.git_url is None:
        return found
    anchor = "pyproject.toml"
    return dg.link_code_references_to_git(
        found,
        git_url=settings.git_url,
        git_branch=settings.git_branch,
        file_path_mapping=dg.AnchorBasedFilePathMapping(PROJECT_ROOT / anchor, anchor),
    )
