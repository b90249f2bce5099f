# Two commands matter: `make run` shows the main job, `make test` proves it.
# Everything is installed into .venv from the one lock file; nothing else is touched.

UV_VERSION := 0.13.8
PYTHON ?= python3
UV := .uv/bin/uv
export UV_PYTHON_DOWNLOADS := never
# Trust what the machine trusts: institutions often stand behind a proxy with its own authority.
export UV_SYSTEM_CERTS := true
export UV_PYTHON := $(shell command -v $(PYTHON))
RUN := .venv/bin
ARGS ?=
T ?= tests
# Side by side; what is quick waits more than it computes.
JOBS ?= $(if $(filter test,$(MAKECMDGOALS)),3,2)
ENGINES ?= pg18 pg15
# The areas that run again on each engine.
DATABASE_TESTS ?= $(addprefix tests/,bugs_of_others cli consent flow keys ledger model notify privacy referral store telemetry \
  $(addprefix bus/test_,$(addsuffix .py,consumer dead_letters envelope inbox listen relay replay worker)) \
  $(addprefix hsds/test_,$(addsuffix .py,import overlays search)))

.DEFAULT_GOAL := help

.PHONY: help
help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "  make run ARGS=--once              play the story and exit"
	@echo "  make run ARGS='--once --out out'  also leave what an outsider needs to check it"
	@echo "  make test T=tests/ledger          run one part of the suite"

.uv/done-$(UV_VERSION):
	@command -v $(PYTHON) >/dev/null || { echo "safehand needs Python 3.11 or newer as '$(PYTHON)': install it, or set PYTHON=/path/to/python3"; exit 1; }
	@echo "installing uv $(UV_VERSION) into .uv"
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/done: .uv/done-$(UV_VERSION) uv.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml protos/pyproject.toml)
	@echo "installing safehand and its tools into .venv"
	@$(UV) sync --quiet --locked --all-packages
	@touch $@

.PHONY: setup
setup: .venv/done ## Install everything from the lock file

.PHONY: run
run: .venv/done ## Start everything, play the guided story, stay up until Ctrl-C
	@$(RUN)/safehand up --story $(ARGS)

.PHONY: test
test: .venv/done ## Run the suite (what takes minutes by itself is in test-slow)
	@$(RUN)/python -m pytest -n $(JOBS) --dist loadfile $(if $(filter tests,$(T)),-m 'not slow') $(T) $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: .venv/done ## Kill processes and databases, disturb the bus, steal disks, live whole lives
	@$(RUN)/python -m pytest -n $(JOBS) --dist loadfile -m slow $(T) $(PYTEST_ARGS)

.PHONY: test-databases
test-databases: .venv/done ## Run most of what opens a database on PostgreSQL 18 and Debian's 15
	@for engine in $(ENGINES); do echo "on $$engine"; \
	  SAFEHAND_TEST_DATABASE=$$engine $(RUN)/python -m pytest -n $(JOBS) --dist loadfile -m 'not slow' $(DATABASE_TESTS) $(PYTEST_ARGS) || exit 1; \
	done

.PHONY: lint
lint: .venv/done ## Style, types, layers, protos, schema labels, drift of generated code
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check --quiet .
	@$(RUN)/mypy --no-error-summary $$(ls -d libs/*/src services/*/src) tests bench docs/build.py deploy/images/build.py
	@PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/lint-imports --no-cache
	@cd protos && ../$(RUN)/buf lint && ../$(RUN)/buf format --diff --exit-code . && ./breaking.sh
	@$(RUN)/python protos/check.py
	@$(RUN)/python docs/build.py --check

.PHONY: format
format: .venv/done ## Put code and protos into their one style
	@$(RUN)/ruff check --fix --quiet . ; $(RUN)/ruff format --quiet .
	@cd protos && ../$(RUN)/buf format -w .

.PHONY: protos
protos: .venv/done ## Generate Python code from the protos
	@PYTHON=$(CURDIR)/$(RUN)/python protos/generate.sh

.PHONY: docs
docs: .venv/done ## Write the generated parts of docs/
	@$(RUN)/python docs/build.py

.PHONY: images
images: .venv/done ## Build the container images (nats, postgres, safehand), without a registry
	@$(RUN)/python -W ignore deploy/images/build.py $(ARGS)

.PHONY: screenshots
screenshots: .venv/done ## Every page of hers in each language and two widths, into out/screenshots
	@$(RUN)/python -m tests.browser.screenshots $(ARGS)

.PHONY: bench
bench: .venv/done ## Print the measured rows as ratios, with fsync and the gRPC floor beside them
	@$(RUN)/python -m bench $(ARGS)

.PHONY: chaos
chaos: .venv/done ## Ten minutes of load while everything is killed at random
	@$(RUN)/python -m tests.chaos $(ARGS)

.PHONY: mutants
mutants: .venv/done ## Switch off each guard in turn and print the test that turns red (hundreds; takes long)
	@$(RUN)/python -m tests.mutants $(ARGS)

.PHONY: clean
clean: ## Remove what was installed and what a run left behind
	@rm -rf .venv .uv run out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
