# Perdure: `make serve` runs it, `make test` checks all of it. Both set everything up themselves, with the tested
# versions in constraints.txt; LATEST=1 takes the newest ones that pyproject.toml allows, in an environment apart.
.DEFAULT_GOAL := help
# Types are checked on one core while the other compiles; what a recipe starts, such as pytest, has all cores.
MAKEFLAGS += --jobs=2
.PHONY: help serve test lint compiled bench crash screenshots lock clean FORCE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv$(if $(LATEST),-latest)
BIN := $(VENV)/bin
KILLS ?= 1000
# Of tests; three fill two cores, since tests also wait for processes and disks.
WORKERS ?= 3

LOCK := constraints.txt
LOCK_ENVIRONMENT := .venv-lock
# What an installation takes: the lock, also for what builds the package; or the newest, even if an older one fits.
LOCKED := --constraint $(LOCK)
BUILD_LOCKED := --build-constraint $(LOCK)
NEWEST := --upgrade --upgrade-strategy eager
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# On all cores, what pip would compile on one; like pip, it leaves out files that are no Python of this version.
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

help: ## Show what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# The page is built with the installation, so a change of it installs anew; a folder changes with the names in it.
PAGE := hatch_build.py $(shell find ui -mindepth 1 -name node_modules -prune -o -print)

$(VENV)/.ready: pyproject.toml $(LOCK) $(PAGE) $(if $(LATEST),FORCE)
	@$(PYTHON) -c 'import sys; sys.exit("Perdure needs Python 3.11 or newer, not " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --upgrade $(if $(LATEST),,$(LOCKED)) pip
	$(PIP_INSTALL) $(if $(LATEST),$(NEWEST),$(LOCKED) $(BUILD_LOCKED)) --no-compile --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP_INSTALL) $(if $(LATEST),$(NEWEST),$(LOCKED) $(BUILD_LOCKED)) --no-compile --group dev
	@$(COMPILE)
	@touch $@

serve: $(VENV)/.ready ## Start the server on http://127.0.0.1:5000 with the example models
	@$(BIN)/perdure serve

ui/node_modules/.ready: ui/package-lock.json $(VENV)/.ready-dev
	$(BIN)/python hatch_build.py ci --ignore-scripts
	@touch $@

lint: $(VENV)/.ready-dev ui/node_modules/.ready ## Check form, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hatch_build.py run check

# What every process of the tests imports is compiled once, also where the environment says not to keep that.
compiled: $(VENV)/.ready-dev
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q src
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --collect-only -qq >$(VENV)/collected || { cat $(VENV)/collected; exit 1; }

test: lint compiled ## Check everything (LATEST=1: with the newest versions instead of the tested ones)
	MAKEFLAGS= $(BIN)/pytest -n $(WORKERS) --dist worksteal

bench: $(VENV)/.ready-dev ## Measure, each figure beside its budget (PEERS=1 adds bptk-py, Mesa and pysimlin)
	$(if $(PEERS),$(PIP_INSTALL) 'bptk-py[server]' mesa pysimlin)
	$(BIN)/python -m benchmarks

crash: $(VENV)/.ready-dev ## Kill a stepped server KILLS times and compare every number
	CRASH_KILLS=$(KILLS) $(BIN)/pytest tests/crash -s -p no:xdist --timeout 0

screenshots: $(VENV)/.ready-dev ## Take pictures of every page, in light and dark, wide and on a phone
	$(BIN)/python -m tests.screenshots

lock: ## Renew constraints.txt with the newest versions, and print what changed
	@rm -rf $(LOCK_ENVIRONMENT)
	@$(PYTHON) -m venv $(LOCK_ENVIRONMENT)
	@$(LOCK_ENVIRONMENT)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(LOCK_ENVIRONMENT)/bin/python -m pip uninstall --quiet --yes setuptools
	@$(LOCK_ENVIRONMENT)/bin/python -m pip install --quiet hatchling editables --editable . --group dev
	@{ echo "# The versions that the tests passed with, on every machine: make lock renews them."; \
	  $(LOCK_ENVIRONMENT)/bin/python -m pip list --format freeze --exclude-editable; } > $(LOCK).new
	@touch $(LOCK) && diff --unified=0 $(LOCK) $(LOCK).new | grep '^[-+][^-+]' || echo "Nothing changed."
	@mv $(LOCK).new $(LOCK) && rm -rf $(LOCK_ENVIRONMENT)

clean: ## Remove the environments and caches; the data stay
	rm -rf ui/node_modules src/perdure/page .venv .venv-latest $(LOCK_ENVIRONMENT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
