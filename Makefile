# `make` alone prints what there is. Everything runs in .venv, which the first target that needs it makes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-long test-faults bench check format lock clean

PYTHON ?= python3
UV ?= uv
WORKERS ?= logical
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

help:  ## print this
	@echo 'make TARGET, with PYTHON=... for another interpreter (3.11 or newer) and ARGS=... for more arguments'
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

install: $(STAMP)  ## make .venv with the locked requirements and this checkout

# The system's pip fills the environment, since Debian's python3 without python3-venv can not put a pip in it.
# In two steps, because a checkout has no hash.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3 $(MAKECMDGOALS)' >&2; exit 2; }
	@if $(PYTHON) -m pip --python $(PYTHON) --version >/dev/null 2>&1; then \
	  $(PYTHON) -m venv --without-pip $(VENV); pip='$(PYTHON) -m pip --python $(BIN)/python'; \
	else \
	  $(PYTHON) -m venv $(VENV); pip='$(BIN)/python -m pip'; \
	fi; \
	$$pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	$$pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## every verb in turn, on an embedded PostgreSQL with generated posts
	@$(BIN)/cleanup demo $(ARGS)

test: $(STAMP)  ## all tests but the long ones, on PostgreSQL 18 and on 15 where it is installed
	$(PYTEST) -m 'not long' --ignore tests/bench $(ARGS)

test-long: $(STAMP)  ## the tests that take minutes, each property with 2,000 examples, and texts of up to 10 MB
	HYPOTHESIS_PROFILE=long $(PYTEST) -m long --ignore tests/bench $(ARGS)

test-faults: $(STAMP)  ## the fault suite, and at its end the table of what each fault came to
	$(PYTEST) -m 'not long' --fault-table tests/faults $(ARGS)

bench: $(STAMP)  ## the speed figures
	$(BIN)/python -m tests.bench

check: $(STAMP)  ## lint, format, types, and which floor may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## resolve the requirements anew, with the hashes for every platform (needs uv)
	@# From the public index alone, whatever this machine is set to: the lock has to hold anywhere.
	env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
	  $(UV) pip compile pyproject.toml --no-config --extra dev --universal --generate-hashes --no-header --no-annotate \
	  --upgrade --quiet --output-file requirements.lock
	@! grep -nE '[/@]|^ *--[^h]' requirements.lock || { echo 'the lock names a place' >&2; exit 1; }

clean:  ## remove what the targets made
	rm -rf $(VENV) build dist artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
