# A newcomer needs two: `make demo` and `make test`.
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# No tool calls home, and nothing is unpickled.
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: demo test test-all chaos check ablation docs services stop ui backup restore clean help

demo: $(BIN)/installed ## the whole line on the embedded benchmark, 15 minutes
	@python -m pipelines.stages.check
	@dvc repro
	@python -m pipelines.stages.show

# Two processes of one thread each: torch's threads would wait for one another's cores.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadscope
test: $(BIN)/installed ## the tests that take seconds, 6 minutes
	@$(PYTEST) -m "not slow and not chaos"

test-all: $(BIN)/installed ## all tests, half an hour
	@$(PYTEST)

chaos: $(BIN)/installed ## trainings that are killed in every way (hours)
	@python -m pytest -sv -m chaos tests/chaos

check: $(BIN)/installed ## style and types
	@ruff check .
	@ruff format --check .
	@mypy

# Trains every network of the paper's tables once and prints them: make ablation TABLES="5 8" SET="recipe=paper".
TABLES ?= 5
ablation: $(BIN)/installed ## every network of a table of the paper, trained once
	@python -m pipelines.ablation_runs --tables "$(TABLES)" --overrides "$(SET)"

docs: $(BIN)/installed ## the documentation as a site, in site/
	@zensical build --strict --clean

# make services DATABASE=sqlite MLFLOW_AUTH=1 MLFLOW_PORT=5001 PREFECT_PORT=4201 POSTGRES_PORT=15433, all remembered.
services: $(BIN)/installed ## PostgreSQL, MLflow, Prefect and a worker on this machine
	@python -m pipelines.services.start

stop: $(BIN)/installed ## end these servers
	@python -m pipelines.services.stop

ui: $(BIN)/installed ## the pages of MLflow, Prefect and the report
	@python -m pipelines.services.pages

backup: $(BIN)/installed ## copy what the servers keep: make backup TO=FOLDER
	@python -m pipelines.services.backup

restore: $(BIN)/installed ## the servers' data from a copy: make restore FROM=FOLDER
	@python -m pipelines.services.restore_backup

# Whole or absent: the mark is made last, and made again when the requirements change.
$(BIN)/installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed: install it, or name another 3.11 with make PYTHON=..."; exit 2; }
	@echo "installing into .venv (2 to 5 minutes, about 2.5 GB) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean: ## remove all that was installed, fetched and trained
	rm -rf .venv data/raw data/shards models reports .runs mlflow.db* mlartifacts .dvc/cache .dvc/tmp dvc.lock

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1@/p' Makefile | column -t -s @
