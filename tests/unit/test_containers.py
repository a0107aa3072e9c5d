"""What infra/ says of containers, without starting any: pinned, bounded, open to this machine alone, and no name that nobody reads.

`make containers` starts them.
"""

import re
import subprocess

import pytest
import yaml

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings

INFRA = PROJECT_ROOT / "infra"
COMPOSE_TEXT = (INFRA / "compose.yaml").read_text("utf-8")
SERVICES = yaml.safe_load(COMPOSE_TEXT)["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("omni-lakehouse:")]
SERVERS = [name for name, service in SERVICES.items() if service["restart"] != "no"]
DOCKERFILE = (INFRA / "Dockerfile").read_text("utf-8")
EXAMPLE = (INFRA / "env" / ".env.example").read_text("utf-8")
GIVEN = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
DEPLOYMENT, CLAIM, PAGE = yaml.safe_load_all((INFRA / "kubernetes" / "lakehouse.yaml").read_text("utf-8"))
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINERS = {each["name"]: each for each in (*POD["initContainers"], *POD["containers"])}
VARIABLES = {f"OMNI_{name.upper()}" for name in LakehouseSettings.model_fields} | {"OMNI_DAGSTER_POSTGRES_URL"}


def test_the_services_are_those_of_the_page():
    assert set(SERVERS) == {"postgres", "minio", "phoenix", "code", "webserver", "daemon"}
    assert set(OURS) == {"prepare", "code", "webserver", "daemon", "devbox"}
    assert SERVICES["devbox"]["profiles"] == ["tools"]


@pytest.mark.parametrize(
    "image", [*(s["image"] for s in SERVICES.values()), *re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)]
)
def test_every_image_is_pinned_by_a_version(image):
    assert re.search(r":\D*\d+[.-]\d+", image), image


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_and_confined(name):
    service = SERVICES[name]

    assert service["mem_limit"] and service["pids_limit"]
    assert service["read_only"] is True and "/tmp" in service["tmpfs"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
    assert service.get("user") != "root"


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_has_a_health_check(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_ports_are_open_to_this_machine_alone():
    ports = {port for service in SERVICES.values() for port in service.get("ports", ())}

    assert ports == {f"127.0.0.1:{port}:{port}" for port in (3000, 6006, 9001)}


def test_the_image_runs_as_a_user_by_number_who_owns_none_of_the_code():
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["1000:1000"]
    assert "chown" not in DOCKERFILE


def test_every_variable_of_the_compose_file_is_in_the_example_and_has_a_value_there_or_here():
    named = dict(re.findall(r"\$\{([A-Z_]+)(:[^}]*)?\}", COMPOSE_TEXT))

    assert [name for name in named if not re.search(rf"^(# )?{name}=", EXAMPLE, re.MULTILINE)] == []
    assert [name for name, default in named.items() if not default.startswith(":-") and not GIVEN.get(name)] == []


def test_the_example_gives_nothing_but_passwords_that_say_where_they_are_good():
    assert set(GIVEN) == {"POSTGRES_PASSWORD", "MINIO_ROOT_PASSWORD"}
    assert set(GIVEN.values()) == {"for-this-machine-alone"}


@pytest.mark.parametrize("name", OURS)
def test_ours_are_told_by_names_that_something_reads(name):
    told = SERVICES[name]["environment"]

    assert [variable for variable in told if variable.startswith("OMNI_") and variable not in VARIABLES] == []
    assert told["OMNI_WAREHOUSE"].startswith("s3://") and "@postgres/lake" in told["OMNI_CATALOG_URI"]


@pytest.mark.parametrize("path", ["infra/env/.env.local", "infra/kubernetes/.env.local", ".env", ".dlt/secrets.toml"])
def test_a_file_of_secrets_is_seen_by_neither_git_nor_the_image(path):
    assert subprocess.run(["git", "check-ignore", "-q", path], cwd=PROJECT_ROOT, check=False).returncode == 0
    assert {"**/.env*", ".dlt/secrets.toml"} <= set((PROJECT_ROOT / ".dockerignore").read_text().split())


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_of_the_pod_is_bounded_and_confined(name):
    container = CONTAINERS[name]

    assert container["image"] == "omni-lakehouse"
    assert container["resources"]["limits"]["memory"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["securityContext"]["runAsNonRoot"] and POD["securityContext"]["runAsUser"] == 1000


@pytest.mark.parametrize("name", ["code", "webserver", "daemon"])
def test_the_pod_runs_the_commands_that_compose_runs(name):
    def words(command):  # containers of a pod share an address
        return [word for word in command if word not in ("0.0.0.0", "127.0.0.1", "code")]

    assert words(CONTAINERS[name]["command"]) == words(SERVICES[name]["command"])
    assert CONTAINERS[name].keys() & {"startupProbe", "readinessProbe", "livenessProbe"}


def test_the_kustomization_names_files_that_are_there_and_variables_that_something_reads():
    folder = INFRA / "kubernetes"
    base = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    told = re.findall(r"^(\w+)=", (folder / ".env.example").read_text("utf-8"), re.MULTILINE)

    assert [each for each in base["resources"] if not (folder / each).exists()] == []
    assert base["images"][0]["name"] == "omni-lakehouse" and base["secretGenerator"][0]["envs"] == [".env.local"]
    assert set(told) <= VARIABLES and {"OMNI_CATALOG_URI", "OMNI_WAREHOUSE", "OMNI_DAGSTER_POSTGRES_URL"} <= set(told)
    assert CLAIM["metadata"]["name"] == POD["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert PAGE["spec"]["selector"] == DEPLOYMENT["spec"]["selector"]["matchLabels"]
