"""What a cluster would be given is what Kubernetes takes: by its own schemas, strictly, so that a misspelt field is found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_ROOT

pytestmark = pytest.mark.skipif(not os.environ.get("OMNI_CONTAINERS"), reason="needs an index; next: make containers")
MANIFEST = PROJECT_ROOT / "infra" / "kubernetes" / "lakehouse.yaml"
LOCK = PROJECT_ROOT / "infra" / "requirements-kubernetes.txt"


def validated(path: Path) -> subprocess.CompletedProcess[str]:
    uv = [
        Path(sys.executable).with_name("uv"),
        "run",
        "--quiet",
        "--no-project",
        "--isolated",
        "--with-requirements",
        LOCK,
    ]
    command = [*uv, "kubernetes-validate", "--strict", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_kubernetes_takes_every_resource():
    done = validated(MANIFEST)

    assert done.returncode == 0 and done.stdout.count("passed") == 3, done.stdout + done.stderr


def test_a_misspelt_field_is_found(tmp_path):
    (tmp_path / "bad.yaml").write_text(MANIFEST.read_text().replace("readOnlyRootFilesystem", "readOnlyRoot"))

    done = validated(tmp_path / "bad.yaml")

    assert done.returncode != 0 and "readOnlyRoot" in done.stdout
