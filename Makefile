# Everything happens in .venv; nothing else on the machine is touched. `make help` lists the targets.
PYTHON ?= python3
# The oldest Python that is supported: the lowest versions need not have wheels for a later one.
LOWEST_PYTHON ?= python3.11
BIN := .venv/bin
ARGS ?=
# Most tests wait for processes and leases. A file is one piece of work; conftest.py has the long ones begin first.
PYTEST := -m pytest -n 5 --dist loadfile --no-loadscope-reorder

# Exact versions with hashes, out of requirements/; then the checkout itself, which needs nothing more.
install = $(1)/bin/python -m pip install --quiet --requirement $(2) && \
	$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .

compile = UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/uv pip compile --quiet --upgrade --generate-hashes \
	--python-version 3.11 pyproject.toml
queues := --extra celery --extra dramatiq --extra rq

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check coverage lowest chaos bench lock dist clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready  ## Install everything into .venv, in the versions of requirements/dev.txt

.venv/ready: pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "batchstatus needs Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(call install,.venv,requirements/dev.txt)
	@touch $@

demo: setup  ## Run real imports on an embedded Valkey; ARGS="--keep", ARGS="--file F --kind K", ARGS="--rate 0"
	@$(BIN)/batchstatus demo $(ARGS)

test: setup  ## Run all tests; ARGS="-k settle" chooses
	$(BIN)/python $(PYTEST) $(ARGS)

lint: setup  ## Lint, check the format and the types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: lint  ## Lint, check the types, run the fast tests
	$(BIN)/python $(PYTEST) -m 'not slow' $(ARGS)

coverage: setup  ## Run the fast tests and measure how much of the code they run
	$(BIN)/python $(PYTEST) -m 'not slow' --cov $(ARGS)

lowest: .venv/lowest/ready  ## Run the fast tests with the lowest versions that pyproject.toml allows, on the oldest Python
	.venv/lowest/bin/python $(PYTEST) -m 'not slow' $(ARGS)

.venv/lowest/ready: pyproject.toml requirements/lowest.txt
	$(LOWEST_PYTHON) -m venv .venv/lowest
	$(call install,.venv/lowest,requirements/lowest.txt)
	@touch $@

chaos: setup  ## Kill, freeze, fill up and restart stores and workers; one table of what came of it
	@$(BIN)/python -m tests.chaos

bench: setup .venv/bench-ready .venv/peers/ready  ## Measure what we claim about cost; ARGS=--quick, ARGS="--only polls,waiting", ARGS=--save
	@$(BIN)/python -m bench --peers-python .venv/peers/bin/python $(ARGS)

.venv/bench-ready: .venv/ready
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

.venv/peers/ready: bench/peers/requirements.txt
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --requirement $<
	@touch $@

lock: .venv/lock/ready  ## Choose the versions in requirements/ anew: the newest that pyproject.toml allows, and the lowest
	$(compile) --universal --extra server --output-file requirements/server.txt
	$(compile) --universal --extra demo $(queues) --group dev --constraint requirements/server.txt --output-file requirements/dev.txt
	$(compile) --resolution lowest-direct --extra demo $(queues) --group test --output-file requirements/lowest.txt

.venv/lock/ready:
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet 'uv>=0.9'
	@touch $@

dist: setup  ## Build the sdist and, from it, the wheel, into dist/
	$(BIN)/python -m build

clean:  ## Remove what setup and the tools have made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage dist
