# One command each: `make run` (the main job), `make test`, `make lint`, `make ui`. All set themselves up first.
# Needs Python 3.11+ and a package index; after the first setup everything works offline.
SHELL := /bin/sh
.DEFAULT_GOAL := run
.PHONY: run test lint ui setup lock lock-check docs bench faults soak s3-server rest-catalog containers compose-plugin dask spark clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.setup-stamp
PARSE_DBT := from lakehouse.settings import load_settings as s; from orchestration.dbt_launcher.manifest import ensure_dbt_manifest as e; e(s())

run: setup
	@$(BIN)/omni run

# In the order of the folders, since the tests that take long come first there; four, since some of them wait.
test: setup
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint dbt_project/models

# Every way to die, at every point, for tickets and documents: minutes. A short form of it is among the tests.
faults: setup
	OMNI_FAULTS=full $(BIN)/python -m pytest -n 2 tests/faults $(PYTEST_ARGS)

# Long trials by seed, such as PYTEST_ARGS="-k corruptions": a quarter of an hour each.
soak: setup
	OMNI_SOAK=1 $(BIN)/python -m pytest -n 2 -rP tests/soak tests/stateful tests/worlds tests/integration/loaders/test_typing.py tests/integration/test_documented_commands.py $(PYTEST_ARGS)

# CPU ratios against a floor in the same run, such as BENCH_ARGS="--only coverage".
bench: setup
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

# The S3 server that the tests drive: built once, outside of the repository; Go proves the modules by their checksums.
s3-server:
	GOBIN="$$HOME/.cache/omni-lakehouse/bin" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

# Iceberg's REST catalog, with which the tests try theirs: its jars, outside of the repository. Needs Java 17 and Maven.
REST := tests/integration/iceberg_rest
rest-catalog:
	mvn -q -f $(REST)/pom.xml dependency:copy-dependencies -DoutputDirectory="$$HOME/.cache/omni-lakehouse/rest-catalog"
	cd "$$HOME/.cache/omni-lakehouse/rest-catalog" && sha256sum --quiet --check "$(CURDIR)/$(REST)/jars.sha256"

# infra/compose.yaml built and started for real, where Docker and Compose are: a quarter of an hour.
containers: setup
	OMNI_CONTAINERS=1 $(BIN)/python -m pytest -rPs tests/containers $(PYTEST_ARGS)

# Compose for a Docker without it, such as Debian's: built once, to where Docker looks for it.
compose-plugin:
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	cp -r --no-preserve=mode "$$(go mod download -json github.com/docker/compose/v2@v2.40.3 | sed -n 's/.*"Dir": "\(.*\)",/\1/p')/." "$$work" && \
	cd "$$work" && go build -trimpath -o "$$HOME/.docker/cli-plugins/docker-compose" ./cmd

# The extra `dask` beside requirements.lock: who loads with OMNI_DASK_SCHEDULER, and its workers, need it.
dask: setup
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes --no-deps -r infra/requirements-dask.txt

# Spark, for dbt's target of that name: the extra, and the jars by which it reads Iceberg, outside of the repository and
# proved by their checksums. Needs Java 17 or 21.
spark: setup
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes --no-deps -r infra/requirements-spark.txt
	@$(BIN)/python -m lakehouse.dbt.spark.jars

ui: setup
	@$(BIN)/omni ui $(if $(PORT),--port $(PORT))

setup: $(STAMP)

# uv comes from the machine where it has one, else into a virtual environment of its own.
$(STAMP): requirements.lock pyproject.toml
	@UV=$$(command -v uv || true); \
	if [ -z "$$UV" ]; then \
	  [ -x .venv/uv/bin/uv ] || { $(PYTHON) -m venv .venv/uv && .venv/uv/bin/python -m pip install --quiet uv; } || exit 1; \
	  UV=.venv/uv/bin/uv; \
	fi; \
	echo "setting up .venv from requirements.lock …"; \
	[ -x $(BIN)/python ] || "$$UV" venv --quiet --allow-existing --python $(PYTHON) .venv || exit 1; \
	VIRTUAL_ENV=.venv "$$UV" pip sync --quiet --require-hashes requirements.lock && \
	VIRTUAL_ENV=.venv "$$UV" pip install --quiet --no-deps --no-build-isolation --editable . && \
	$(BIN)/python -c "$(PARSE_DBT)" && \
	touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header
EXTRAS := dask spark
ASKED_FOR := import sys, tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies'][sys.argv[1]], sep='\n')
EXTRA = $(BIN)/python -c "$(ASKED_FOR)" $$extra | $(COMPILE) -c requirements.lock - -o

lock: setup
	$(COMPILE) --group dev pyproject.toml -o requirements.lock
	for extra in $(EXTRAS); do $(EXTRA) infra/requirements-$$extra.txt || exit 1; done

lock-check: setup
	@cp requirements.lock .venv/requirements.lock.check
	@$(COMPILE) --group dev pyproject.toml -o .venv/requirements.lock.check
	@cmp requirements.lock .venv/requirements.lock.check || { echo "requirements.lock is stale; next: make lock"; exit 1; }
	@for extra in $(EXTRAS); do cp infra/requirements-$$extra.txt .venv/lock.check; $(EXTRA) .venv/lock.check && \
	cmp infra/requirements-$$extra.txt .venv/lock.check || { echo "infra/requirements-$$extra.txt is stale; next: make lock"; exit 1; }; done

docs: setup
	@$(BIN)/omni contract docs

clean:
	rm -rf .venv var
