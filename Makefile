# Everything a person or CI does here is a target of this file. Python 3.11+ and make are all it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
export UV_LINK_MODE ?= copy

.PHONY: help install dev up test test-fast test-pages faults bench lint types lock schema docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Crossdock needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …")'
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

up: install  ## everything in one process tree on the embedded default
	exec $(BIN)/crossdock up

test: dev  ## the whole test suite with its own servers
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not pages and not serial and not faults"
	$(BIN)/python -m pytest -q -m "serial and not pages and not faults"

test-pages: dev  ## the pages in a real browser
	$(BIN)/python -m pytest -q -m pages

faults: dev  ## the long fault suite
	$(BIN)/python -m pytest -q -m faults --timeout 900

lint: dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: dev
	$(BIN)/mypy

lock: $(BIN)/uv  ## newest stable versions into the lock files
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --group build --group dev -o requirements-dev.lock

clean:
	rm -rf $(VENV) .crossdock
