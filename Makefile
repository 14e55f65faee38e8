# All there is to remember: demo, test, check, bench, compat, e2e. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.locked

.PHONY: setup demo test check gen bench compat e2e clean lock

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Headrace needs Python 3.11 or newer: try 'make PYTHON=python3.12 setup'"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) from requirements/dev.txt: about half a minute"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/python -m tests.demo

test: check
	$(BIN)/python -m tests.tools
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m headrace.config.render --check
	$(BIN)/python -m headrace.server.skipped --check
	$(BIN)/python -m headrace_operator.crd.render --check

gen: setup
	$(BIN)/python -m headrace.config.render --write
	$(BIN)/python -m headrace.server.skipped --write
	$(BIN)/python -m headrace_operator.crd.render --write

bench: setup
	$(BIN)/python -m tests.bench $(ARGS)

compat: setup
	$(BIN)/python -m e2e.compat $(ARGS)

# Kubernetes: E2E_KUBECONFIG's where it is set (with E2E_IMAGE_PREFIX), else three nodes of its own.
e2e: setup
	$(BIN)/python -m e2e.kubernetes

clean:
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache headrace-data

# Lock files carry hashes and no addresses.
lock: setup
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --no-header --allow-unsafe --extra dev --extra operator --output-file requirements/dev.txt pyproject.toml requirements/build.in
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --no-header --output-file requirements/broker.txt pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --no-header --extra operator --output-file requirements/operator.txt pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --no-header --allow-unsafe --output-file requirements/build.txt requirements/build.in
