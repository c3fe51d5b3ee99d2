# Everything happens in .venv; nothing else on the machine is touched. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check chaos bench clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready  ## Install everything into .venv

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "batchstatus needs Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[server,demo]' --group dev
	@touch $@

demo: setup  ## Run real imports on an embedded Valkey; ARGS="--keep", ARGS="--file F --kind K", ARGS="--rate 0"
	@$(BIN)/batchstatus demo $(ARGS)

test: setup  ## Run all tests; ARGS="-k settle" chooses
	$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

check: setup  ## Lint, check the types, run the fast tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 3 --dist loadfile -m 'not slow' $(ARGS)

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

clean:  ## Remove what setup and the tools have made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
