# Perdure: `make serve` runs it, `make test` checks all of it. Both set everything up themselves.
.DEFAULT_GOAL := help
.PHONY: help serve test lint bench crash clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
KILLS ?= 1000
WORKERS ?= 2

help: ## Show what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Perdure needs Python 3.11 or newer, not " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

serve: $(VENV)/.ready ## Start the server on http://127.0.0.1:5000 with the example models
	@$(BIN)/perdure serve

lint: $(VENV)/.ready-dev ## Check form, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## Check everything
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

bench: $(VENV)/.ready-dev ## Measure, each figure beside its budget (PEERS=1 adds bptk-py)
	$(if $(PEERS),$(BIN)/python -m pip install --quiet --disable-pip-version-check 'bptk-py[server]')
	$(BIN)/python -m benchmarks

crash: $(VENV)/.ready-dev ## Kill a stepped server KILLS times and compare every number
	PERDURE_CRASH_KILLS=$(KILLS) $(BIN)/pytest tests/crash -s -p no:xdist --timeout 0

clean: ## Remove the environment and caches; the data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
