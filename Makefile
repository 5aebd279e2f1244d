# The commands of this project. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin
MADE := .venv/made

.DEFAULT_GOAL := help
.PHONY: help install audit demo test screenshots coverage soak bench measure lint format lock clean

help:  ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(MADE)  ## create the environment in .venv

$(MADE): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it: make PYTHON=python3.13")'
	@echo "Installing into .venv first: about a minute, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(MADE)

demo: $(MADE)  ## run the main job, everything embedded (ARGS=--serve leaves the pages running)
	$(BIN)/mailchimp-worker demo $(ARGS)

test: $(MADE) lint  ## check style and types, and run all tests except the soaks
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not soak"

coverage: $(MADE)  ## run the same tests, and show uncovered lines
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --cov --cov-report term -m "not soak"

soak: $(MADE)  ## run the long tests, for hours
	HISTORIES=5000 $(BIN)/python -m pytest --numprocesses auto -m soak

screenshots: $(MADE)  ## take the pictures in docs/images again (needs Chromium)
	$(BIN)/python -m tests.browser.screenshots

bench: $(MADE) .venv-bench/made  ## run all benchmarks in their short form, in less than five minutes
	$(BIN)/python -m benchmarks

measure: $(MADE) .venv-bench/made  ## run all benchmarks in full, in less than an hour, and write benchmarks/README.md
	$(BIN)/python -m benchmarks --full --write

.venv-bench/made: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

lint: $(MADE)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(MADE)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(MADE)  ## list components (CycloneDX), licences and known vulnerabilities
	$(BIN)/python -m supply_chain

PLATFORMS := x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-apple-darwin aarch64-apple-darwin

lock:  ## resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-emit-package pip -q -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements-dev.lock
	uv pip compile --group build --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements-build.lock
	set -e; for platform in $(PLATFORMS); do for python in 3.11 3.12 3.13 3.14; do \
	  uv pip compile requirements.lock --python-platform $$platform --python-version $$python --only-binary :all: \
	    --no-deps --quiet >/dev/null; echo "$$platform $$python"; done; done >tests/data/wheels.txt
	$(PYTHON) -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())' <requirements.lock >>tests/data/wheels.txt

clean:  ## remove everything that make created
	rm -rf .venv .venv-bench build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
