# Everything a person or CI does here is a target of this file. Python 3.11+ and make are all it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BESIDE := not pages and not serial and not faults
ALONE := serial and not pages and not faults
UV_VERSION := 0.13.9
# How many test processes run at once; each has its own PostgreSQL and Redis.
JOBS ?= 2
# What follows the command: make up ARGS='--port 9000', make test-fast ARGS='-x tests/mapping'.
ARGS ?=
export UV_LINK_MODE ?= copy
# A company's own certificate authority is in the machine's store; a machine without a store has uv's.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem),true,false)
# Where it is set, each of the hundred processes of the tests would compile all that it imports, and pytest every test anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install dev up test test-fast test-pages faults bench lint types lock schema docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

# pip is only the way to uv, which installs from the lock files.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Crossdock needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.installed  ## .venv/bin/crossdock, from the lock file
dev: $(VENV)/.dev  ## the same with what the tests need

up: install  ## everything in one process tree on the embedded default; ARGS='--port 9000'
	@exec $(BIN)/crossdock up $(ARGS)

# No target hides pytest's "no tests were collected" (5): a part of the suite that has gone is a failure.
# What failed gets one second try, alone and in sight: most of it starts, kills and times real processes, and a small machine
# can stall. What fails twice is a failure.
test: dev  ## the whole suite with its own servers: what can run side by side, then what needs the machine to itself
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder -m "$(BESIDE)" || $(BIN)/python -m pytest -q -m "$(BESIDE)" --last-failed --last-failed-no-failures none
	$(BIN)/python -m pytest -q -m "$(ALONE)" || $(BIN)/python -m pytest -q -m "$(ALONE)" --last-failed --last-failed-no-failures none

test-fast: dev  ## the first part of it, stopping at the first failure; ARGS='tests/mapping'
	$(BIN)/python -m pytest -q -x -n $(JOBS) --dist loadscope --no-loadscope-reorder -m "not pages and not serial and not faults" $(ARGS)

test-pages: dev  ## the pages in a real browser: chromium on the PATH, or CHROMIUM=/path/to/it
	$(BIN)/python -m pytest -q -m pages $(ARGS)

# A whole run starts with no figures; one fault measured anew (ARGS='-k f6') takes the place of its old ones only.
faults: dev  ## the long fault suite, and docs/reliability.md from it; ARGS='-k f6', FAULTS_EVENTS=1000, FAULTS_LONG_MINUTES=30
	$(if $(ARGS),,rm -rf .crossdock/faults)
	CROSSDOCK_TEST_FIGURES=$(CURDIR)/.crossdock/faults $(BIN)/python -m pytest -q -m faults --timeout 900 $(ARGS); status=$$?; \
	$(BIN)/python -m tests.faults.report .crossdock/faults && exit $$status

bench: dev  ## measures the delivery engine and writes docs/benchmarks.md: 15 minutes; ARGS='throughput latency', '--full'
	$(BIN)/python tests/benchmarks/deliveries.py --record $(ARGS)

lint: dev  ## style, imports, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: dev  ## strict typing
	$(BIN)/mypy

lock: $(BIN)/uv  ## newest stable versions into the lock files
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --group build --group dev -o requirements-dev.lock

schema: dev  ## the JSON Schema of definitions, and its reference page, from the declarations
	$(BIN)/python -m server.authoring.generated

docs: schema  ## every page that is made from the code; a test holds them equal
	$(BIN)/python -m server.reference
	$(BIN)/python -m plugins.tryton.generated
	$(BIN)/python -m server.cli.reference > docs/cli.md.new && mv docs/cli.md.new docs/cli.md

clean:  ## away with the environment and the caches; data stays where it is (.crossdock)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
