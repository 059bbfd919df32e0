# Everything that a fresh checkout needs: `make run` starts the gateway, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
PYTEST := $(BIN)/python -m pytest

.PHONY: run test test-fresh check format test-long mutants kill-matrix bench conformance fuzz clients clean setup

# uv lives in the project's own environment; the lock file says every version and hash.
$(VENV)/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tollhouse needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (some seconds, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --inexact --python $(BIN)/python
	@touch $@

setup: $(VENV)/.ready

run: setup
	@$(BIN)/tollhouse serve --data-dir $(DATA)

test: setup
	$(PYTEST) -n 2 --dist loadgroup -m "not long"

# The property tests, and the published documents' cases, on examples that nobody has seen yet.
test-fresh: setup
	$(PYTEST) -n 2 --dist loadgroup -m "not long" --hypothesis-profile=fresh
	CASES_SEED=fresh $(PYTEST) -m long tests/e2e/test_contract_cases.py

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --warnings
	$(BIN)/lint-imports
	$(PYTEST) -q -p no:xdist tests/house

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-long: setup
	$(PYTEST) -m long

mutants: setup
	$(PYTEST) -n 2 -m long tests/mutants

# Some ten minutes: a gateway is killed 200 times on each store, and the books are compared with its callers' file.
kill-matrix: setup
	PYTHONPATH=tests $(BIN)/python -m support.kill_matrix --out docs/kill-matrix.json

bench: setup
	$(BIN)/python -m bench

# Looks for inputs that break a decoder: `make fuzz SECONDS=600`.
SECONDS ?= 60
fuzz: setup
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --inexact --group fuzz --python $(BIN)/python
	$(BIN)/python -m fuzz $(SECONDS)

conformance: setup
	$(BIN)/python -m conformance

clients: setup
	$(BIN)/python -m clients

clean:
	rm -rf $(VENV) .import_linter_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
