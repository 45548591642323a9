# `make run` serves everything on http://localhost:8000; `make test` is the one gate. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# pip's own words become one line that counts
define INSTALL
$(BIN)/python -u -m pip install --progress-bar off --require-hashes -r $(1) | { n=0; while read -r line; do case "$$line" in \
Collecting*) n=$$((n+1)); printf '\r· %d of at most %d packages' $$n $$(grep -c == $(1));; \
Installing*) printf '\r· unpacking %d packages           ' $$n;; esac; done; echo; }
endef

.PHONY: help
help: ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.venv/run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Greenline needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || { echo "· making .venv"; $(PYTHON) -m venv .venv; }
	@echo "· fetching about 250 MB of packages, once"
	@$(call INSTALL,requirements.lock)
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements-dev.lock .venv/run
	@echo "· fetching what development needs"
	@$(call INSTALL,requirements-dev.lock)
	@touch $@

.PHONY: run
run: .venv/run ## Set up if needed, then serve everything with sample data (PORT, DATA_DIR and GREENLINE_* are honoured)
	@$(BIN)/greenline run --demo

.PHONY: setup
setup: .venv/dev ## Everything for development, the browser too
	@$(BIN)/python tests/install_browser.py

.PHONY: lint
lint: .venv/dev ## Format and lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: .venv/dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: test
test: setup lint ## The gate: lint, types, imports, all tests with real database, browser and processes
	$(BIN)/pytest --cov --cov-report=term:skip-covered

.PHONY: bench
bench: .venv/dev ## Search beside plain rapidfuzz and bm25s, claims beside a raw SKIP LOCKED loop
	$(BIN)/python -m benchmarks

.PHONY: fit
fit: .venv/dev ## Rebuild everything that is fitted from the data in the repository
	$(BIN)/python -m knowledge.fit

.PHONY: build
build: .venv/dev ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

.PHONY: lock
lock: .venv/dev ## Renew the hash-pinned locks, without addresses
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-strip-extras --python-version 3.11 --group build -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-strip-extras --python-version 3.11 --group dev -o requirements-dev.lock pyproject.toml
