# Every target makes what it needs; `make help` lists them. A second run costs a look at two files.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STAGE ?= dev
PORT ?= 2746
# Only `make run KUBECONFIG=…` speaks to a real cluster; what the shell has is not taken.
ifneq ($(origin KUBECONFIG),command line)
KUBECONFIG :=
endif
CRON ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test lint types contracts unit conformance bench fuzz chaos coverage format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  %-14s %s\n", $$1, $$2 }'

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Lynceus needs Python 3.11 to 3.13; this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=26,<26.3'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(READY) ## the whole system on this machine: no AWS account, no cluster, no Docker
	@env -u KUBECONFIG CRON=$(CRON) $(BIN)/python -m lynceus run --port $(PORT) $(if $(KUBECONFIG),--kubeconfig $(KUBECONFIG)) $(RUN)

test: lint types contracts unit conformance ## everything: lint, types, contracts, tests, conformance

lint: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . && echo "lint: clean"

types: $(READY) ## mypy --strict
	@$(BIN)/mypy

contracts: $(READY) ## which room may import which
	@$(BIN)/lint-imports --no-logo | tail -n +2

unit: $(READY) ## the tests
	@$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

conformance: $(READY) ## recorded behaviour of Argo, Kubernetes and the senders: passed of total
	@$(BIN)/python -m tests.conformance

bench: $(READY) ## benchmarks: ratios and counts (bench/README.md says how to read them)
	@for script in bench/[a-z]*.py; do echo "== $$script"; PYTHONPATH=. $(BIN)/python $$script || exit 1; done

fuzz: $(READY) ## longer fuzzing of expressions
	@$(BIN)/python -m tests.fuzz $(FUZZ)

chaos: $(READY) ## a bad day: thousands of events and times while ports fail and processes die, then reconcile
	@$(BIN)/python -m tests.chaos $(CHAOS)

coverage: $(READY) ## branches of the core that the tests take; fails below 95 %
	@$(BIN)/python -m pytest -n $(WORKERS) --cov=chalicelib/core --cov-branch --cov-report=term:skip-covered --cov-fail-under=95 tests/core tests/flow

format: $(READY) ## let ruff write the format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

clean: ## remove what was made here, the local state included
	rm -rf $(VENV) .lynceus build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

-include infra/deploy.mk
