"""The images that the stack is made from: the real ones where a registry answers; else, in the trial's own engine, others in
their place, made of packages: Debian's base with its Python, Debian's Postgres, versitygw for MinIO, Phoenix's own package.

Another engine gets none: under the names of the real ones they would stay there, and be taken for them.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from lakehouse.settings import PROJECT_ROOT
from tests.containers.engine import Engine
from tests.integration.s3_server import binary

_BASE = "omni-stand-in-base"
_IMAGES = Path(__file__).parent / "images"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def images_asked_for() -> list[str]:
    """What compose.yaml and the Dockerfile name."""
    services = yaml.safe_load((PROJECT_ROOT / "infra" / "compose.yaml").read_text())["services"].values()
    base = re.findall(r"^FROM (\S+)", (PROJECT_ROOT / "infra" / "Dockerfile").read_text(), re.MULTILINE)
    built = {service["image"] for service in services if "build" in service}
    return [*base, *(service["image"] for service in services if service["image"] not in built)]


def provide(engine: Engine, images: Iterable[str]) -> list[str]:
    """Have the images in the engine; returns those that are stand-ins."""
    missing = [image for image in images if not engine.has(image)]
    unreachable = [image for image in missing if engine.docker("pull", "--quiet", image, status=None).returncode]
    if unreachable and not engine.is_own:
        pytest.skip(f"no registry has {', '.join(unreachable)}, and this engine gets no stand-ins")
    for image in unreachable:
        _build(engine, image)
    return [image for image in images if "omni.stand-in" in engine.docker("image", "inspect", image).stdout]


def _build(engine: Engine, image: str) -> None:
    name, _, tag = image.rpartition("/")[2].partition(":")
    _ensure_base(engine)
    with tempfile.TemporaryDirectory() as context:
        shutil.copytree(_IMAGES / name, context, dirs_exist_ok=True)
        if name == "minio":
            if (server := binary()) is None:
                pytest.skip("no S3 server to stand in for MinIO; next: make s3-server")
            shutil.copy(server, Path(context, "versitygw"))
        arguments = ["--label", "omni.stand-in=yes", "--build-arg", f"TAG={tag}"]
        engine.docker("build", "--tag", image, *arguments, context)


def _ensure_base(engine: Engine) -> None:
    """Debian with Python, trusting whom this machine trusts: it may reach the package index through a proxy."""
    if engine.has(_BASE):
        return
    if not shutil.which("mmdebstrap"):
        pytest.skip("no registry answers, and no mmdebstrap makes a base to stand in; next: apt-get install mmdebstrap")
    with tempfile.TemporaryDirectory() as folder:
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", packages, "bookworm", f"{folder}/base.tar"], check=True
        )
        engine.docker("import", f"{folder}/base.tar", _BASE)
        shutil.copytree(_IMAGES / "base", folder, dirs_exist_ok=True)
        shutil.copy(_CERTIFICATES, folder)
        Path(folder, "base.tar").unlink()
        engine.docker("build", "--tag", _BASE, folder)
