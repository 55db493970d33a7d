.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
STAMP := .venv/.ready
TORCH_BACKEND ?=
# Where this is set, as in many images, each of some hundred processes compiles all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo check test bench lock fixtures clean

help:  ## Show what can be done here
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Make .venv and install everything that is pinned in requirements.lock into it

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup  ## Run the main job: Synthea → tables → CTGAN → Bundles → report, into demo/
	$(BIN)/fhirsynth run --condition cystic-fibrosis --population 300 --cases 150 --augment 150 --seed 7 --out demo

check: setup  ## Lint, types and fast tests (the quick loop)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -m "not slow" -n auto

test: check  ## Every test, with real Synthea and real CTGAN
	$(BIN)/pytest -q -m slow

bench: setup  ## Measure speed beside what one would pick instead (prints a table)
	$(BIN)/python -m benchmarks

lock: $(STAMP)  ## Pin every dependency anew, with hashes and without addresses
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

fixtures: setup  ## Make fixtures/ anew with our own commands
	bash fixtures/make.sh

clean:  ## Remove what the targets above have made
	rm -rf .venv demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
