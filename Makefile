# Two commands do all set-up: `make run` (a demo shop, end to end) and `make test` (the whole gate).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := setup.py conf/constraints.txt propensity_spark/jars.sha256
export PYTHONWARNINGS ?= ignore
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.PHONY: help run online-retail bench bench-fit setup test test-fast test-long lint clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup  ## simulate a shop and run everything on it
	@$(BIN)/python -m propensity_spark.pipeline.demo conf/demo.yaml

online-retail: $(VENV)/.dev  ## a real shop: run it, then judge its scores from its raw files
	@$(BIN)/propensity run --config conf/online_retail.yaml --as-of 2011-11-11
	@$(BIN)/python tests/protocol.py warehouse/online_retail 2011-11-11

bench: $(VENV)/.dev  ## the totals against DuckDB, a plain group-by, a rebuild and a range join (half an hour)
	@$(BIN)/python tests/bench.py

bench-fit: $(VENV)/.dev  ## a LightGBM fit against LightGBM alone, on one machine and on two executors (eight minutes)
	@$(BIN)/python tests/bench_fit.py

setup: $(VENV)/.done  ## the environment: pinned packages, Java 17, jars; nothing to do the second time

$(VENV)/.done: $(DEPENDENCIES)
	@$(PYTHON) -m venv $(VENV)
	@echo "installing pinned packages into $(VENV) (about two minutes, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c conf/constraints.txt -e .
	@$(BIN)/python -c "from propensity_spark.install import java_home; java_home()" 2>/dev/null || \
		$(BIN)/pip install --quiet --disable-pip-version-check -c conf/constraints.txt -e '.[java]'
	@$(BIN)/python -m propensity_spark.install
	@touch $@

$(VENV)/.dev: $(VENV)/.done
	@$(BIN)/pip install --quiet --disable-pip-version-check -c conf/constraints.txt -e '.[dev]'
	@touch $@

lint: $(VENV)/.dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## the gate: format, lint, types, tests
	$(BIN)/pytest -m "not long"

test-long: $(VENV)/.dev  ## the tests that kill jobs midway, at every write in turn
	$(BIN)/pytest -m long

test-fast: lint  ## the gate without model fits, clusters and real data
	$(BIN)/pytest -m "not fit and not real"

clean:  ## remove what the demo wrote
	rm -rf demo
