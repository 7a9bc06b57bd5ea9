# `make demo` and `make test` need Python 3.11 or newer, make and a package registry. They
# set up everything else below this folder, once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--no-compile --no-deps --require-hashes
PYTHON_CODE := app plugins sample_logs vpcflow bootstrap integration_tests bench

.PHONY: help setup setup-dev demo app check test tests test-long lint lint-python lint-sql bench docs requirements
.DEFAULT_GOAL := help

help: ## Show what can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: setup ## Load sample logs, build, and print the answers.
	@$(BIN)/python -m vpcflow demo

app: setup .venv/.app ## Serve the page on this machine.
	@$(BIN)/streamlit run app/streamlit_app.py

# Three workers for two cores, since a test often waits. They run whole files, in the order
# that conftest.py gives them. No test takes 15 minutes: one that hangs fails and says where.
PYTEST := $(BIN)/python -m pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder \
	--timeout 900 --durations 10
CHECKED := $(patsubst %,integration_tests/test_%.py, \
	cases project main_job staging addresses)

check: setup-dev ## What a change is most likely to break.
	@$(MAKE) --no-print-directory --jobs 3 lint-python lint-sql tests TESTS="$(CHECKED)"

test: setup-dev ## Everything that CI checks.
	@$(MAKE) --no-print-directory --jobs 3 lint-python lint-sql tests

tests:
	@$(PYTEST) -m "not long" $(TESTS)

test-long: setup-dev ## The tests that take long: many kills, much data, other versions.
	@$(BIN)/python -m pytest -q -m long

lint: setup-dev ## Style of SQL, YAML and Python; types.
	@$(MAKE) --no-print-directory --jobs 2 lint-python lint-sql

lint-python:
	@$(BIN)/ruff check $(PYTHON_CODE)
	@$(BIN)/ruff format --check $(PYTHON_CODE)
	@$(BIN)/mypy
	@$(BIN)/yamllint --strict .

lint-sql:
	@$(BIN)/python -m integration_tests.lint_sql

bench: setup-dev ## Ratios against plain DuckDB SQL on the same files.
	@$(BIN)/python -m bench

docs: setup ## Generate the documentation site and serve it.
	@$(BIN)/dbt docs generate
	@$(BIN)/dbt docs serve

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-annotate \
	--custom-compile-command 'make requirements' --override requirements-overrides.txt

requirements: setup-dev ## Compile requirements*.in again.
	@$(COMPILE) requirements-dev.in -o requirements-dev.txt
	@$(COMPILE) -c requirements-dev.txt requirements-app.in -o requirements-app.txt
	@$(COMPILE) -c requirements-dev.txt requirements.in -o requirements.txt

setup: .venv/.runtime profiles.yml dbt_packages/.installed
# Without the hub, `dbt deps` waits for it while pip installs.
setup-dev:
	@$(MAKE) --silent --no-print-directory --jobs 2 .venv/.dev setup

.venv/.runtime: requirements.txt
	@echo "Setting up .venv with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is too old. Install Python 3.11 or newer, or set PYTHON to one."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP_INSTALL) -r $<
	@touch $@

.venv/.app: requirements-app.txt .venv/.runtime
	@$(PIP_INSTALL) -r $<
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.runtime
	@$(PIP_INSTALL) -r $<
	@touch $@

profiles.yml:
	@cp profiles.yml.example $@

dbt_packages/.installed: packages.yml $(shell find package_stand_ins -type f) | .venv/.runtime profiles.yml
	@mkdir -p logs
	@if $(BIN)/dbt deps > logs/deps.log 2>&1; then \
		echo "dbt packages: from the dbt hub"; \
	else \
		mkdir -p dbt_packages && cp -R package_stand_ins/dbt_* dbt_packages/ && \
		echo "dbt packages: the project's stand-ins, since the dbt hub cannot be reached"; \
	fi
	@touch $@
