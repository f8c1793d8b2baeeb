# `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
KEDRO := $(BIN)/kedro
ARGS ?=

# An installation is skipped while the hash of its lock stands in the stamp file.
HASH = sha256sum $(1) pyproject.toml | sha256sum | cut -d' ' -f1
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore

.DEFAULT_GOAL := help
.PHONY: help install install-dev run test test-fast lint viz mlflow bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install:  ## make the virtual environment with the tested pins
	@if [ "$$($(call HASH,requirements.lock))" != "$$(cat $(VENV)/.run-lock 2>/dev/null)" ]; then \
		set -e; \
		echo "Installing the tested packages into $(VENV), once: about three minutes and 4 GB of disk."; \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(PIP) -r requirements.lock; \
		$(PIP) --no-deps -e .; \
		$(call HASH,requirements.lock) > $(VENV)/.run-lock; \
	fi

install-dev: install  ## the same with what the tests need
	@if [ "$$($(call HASH,requirements-dev.lock))" != "$$(cat $(VENV)/.dev-lock 2>/dev/null)" ]; then \
		set -e; \
		echo "Installing what the tests need into $(VENV), once."; \
		$(PIP) -r requirements-dev.lock; \
		$(call HASH,requirements-dev.lock) > $(VENV)/.dev-lock; \
	fi

run: install  ## render the embedded cohort, train, evaluate, print the results table
	$(if $(ARGS),,@echo "Drawing 32 synthetic slide pairs, training, comparing: under ten minutes on two cores. What is finished is reused.")
	@$(KEDRO) run $(ARGS)

lint: install-dev  ## style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One process a core; a file's tests stay together, so that what they share is made once.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile

test: lint  ## lint, then the whole test suite
	$(PYTEST) $(ARGS)

test-fast: install-dev  ## the quick tests alone, for while you write
	$(PYTEST) -m "not slow and not real" $(ARGS)

viz: install  ## the graph of the pipelines in the browser
	$(KEDRO) viz run $(ARGS)

mlflow: install  ## compare the runs in the browser
	PATH="$(abspath $(BIN)):$$PATH" $(KEDRO) mlflow ui $(ARGS)  # it starts mlflow by its name

bench: install-dev  ## measure speed as ratios, ours against the straightforward way
	$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove the environment, results and caches; slides of your own stay
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find data -mindepth 2 -maxdepth 2 ! -name .gitkeep ! -path 'data/01_raw/*' ! -path data/zenodo/01_raw -exec rm -rf {} +
	rm -rf data/mlflow data/test data/01_raw/phantoms data/01_raw/pyramids data/01_raw/slides data/01_raw/new_slides data/01_raw/cohort*.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
