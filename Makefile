# Everything lives in .venv/ and .tools/; nothing else on the machine is changed.

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
FOR ?= 600
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export PATH := $(PATH):/usr/sbin:/sbin:$(CURDIR)/.tools/bin

.PHONY: help setup demo test soak mutants storm fuzz lint format bench endurance budget fleet tools dashboards clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) tools ## make .venv, and fetch into .tools what the machine lacks
	@$(BIN)/python -m compileall -q core exporter fleet remediator

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python lacks its venv module: install the package python3-venv" >&2; exit 1; }
	@echo "preparing $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt pip hatchling editables
	@$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[dev]'
	@touch $@

tools:
	@tools/fetch-tools

demo: setup ## play the story on a network of namespaces (ARGS=--once: play it and exit)
	@$(BIN)/ipmp demo $(ARGS)

test: setup ## run all tests (ARGS="-k word" picks some, JOBS=4 for more at a time)
	@$(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

mutants: $(READY) ## plant bugs and let the simulator find each of them (SEEDS=n)
	@$(BIN)/python -m tests.simulation.mutants $(if $(SEEDS),--seeds $(SEEDS))

soak: $(READY) ## explore orders of events in the simulator (SEEDS=n, EVENTS=n; SEED=n plays one again)
	@$(BIN)/python -m tests.simulation.soak $(if $(SEED),--seed $(SEED)) \
		$(if $(SEEDS),--seeds $(SEEDS)) $(if $(EVENTS),--events $(EVENTS))

storm: $(READY) ## 10,000 notifications to a remediator that is killed meanwhile (POSTS=n, SEED=n)
	@$(BIN)/python -m tests.storm $(if $(POSTS),--posts $(POSTS)) $(if $(SEED),--seed $(SEED))

fuzz: $(READY) ## a million inputs for the parsers of payload and policy (INPUTS=n, SEED=n)
	@$(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

lint: setup ## style, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## bring the source into the project's format
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

dashboards: $(READY) ## build the dashboards' JSON from dashboards/build.py
	@$(BIN)/python -m dashboards.build

bench: setup ## measure, and compare with ip -batch and keepalived (ARGS passed on)
	@tools/fetch-tools keepalived prometheus-node-exporter
	@$(BIN)/python -m tests.bench $(ARGS)

endurance: $(READY) ## kill and restart the daemon amid trouble in namespaces (CYCLES=n; SEED=n plays one again)
	@$(BIN)/python -m tests.endurance $(if $(CYCLES),--cycles $(CYCLES)) $(if $(SEED),--seed $(SEED))

budget: setup ## kill budget servers, etcd and hosts while hosts drain (FOR=seconds; SEED=n)
	@$(BIN)/python -m tests.budget --seconds $(FOR) $(if $(SEED),--seed $(SEED))

fleet: setup ## kill every part of a fleet of five hosts while alerts come and go (FOR=seconds; SEED=n)
	@$(BIN)/python -m tests.fleet --seconds $(FOR) $(if $(SEED),--seed $(SEED)) $(ARGS)

clean: ## remove everything that make has made
	rm -rf $(VENV) .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find core exporter fleet remediator dashboards tests -name __pycache__ -prune -exec rm -rf {} +
