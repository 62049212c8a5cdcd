# Bailiwick's own commands. Everything happens in .venv, which `make env` makes from the locked packages.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
PYTEST ?=

.DEFAULT_GOAL := help
.PHONY: help env demo-env demo test check bench format lock docs clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

env:  ## make or update the environment for development
	@command -v $(PYTHON) >/dev/null || { echo "Bailiwick needs Python 3.11 or newer: sudo apt-get install python3"; exit 1; }
	@$(PYTHON) tools/bootstrap.py dev

demo-env:
	@command -v $(PYTHON) >/dev/null || { echo "Bailiwick needs Python 3.11 or newer: sudo apt-get install python3"; exit 1; }
	@$(PYTHON) tools/bootstrap.py demo

demo: demo-env  ## the whole loop on real flights; ARGS=--exit ends it when the story is told
	@$(BIN)/bailiwick demo $(ARGS)

test: env  ## run the tests; PYTEST="-k journal" chooses some
	@$(BIN)/python -m pytest $(PYTEST)

check: env  ## what CI runs: format, lint, types, layers, generated pages, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/settings_page.py --check
	$(BIN)/python tools/api_page.py --check
	$(BIN)/python tools/tfdv_page.py --check
	@$(MAKE) --no-print-directory test

bench: env  ## run every benchmark
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

format: env  ## format, and fix what can be fixed without thinking
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: env  ## write the pages that are generated from code
	$(BIN)/python tools/settings_page.py
	$(BIN)/python tools/api_page.py
	$(BIN)/python tools/tfdv_page.py

lock: env  ## resolve requirements/*.lock anew
	$(BIN)/python tools/lock.py

clean:  ## remove everything that can be made again, the environment too
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bailiwick-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
