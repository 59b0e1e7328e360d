# Every target installs what it needs first: Python 3.11, make and git are enough.
.DEFAULT_GOAL := help
SHELL := /bin/sh

UV_VERSION := 0.13.9
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/leadstream
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
RUN := .venv/bin/
PYTEST := $(RUN)pytest
export UV_PYTHON_DOWNLOADS := never
export UV_COMPILE_BYTECODE := 1
# Where this is set, every process that a test starts would compile all it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/installed ## all of it on this machine: from a signed delivery to decoded leads, a CRM topic and a replay
	@$(RUN)leadstream demo

.PHONY: test
test: .venv/installed ## every test, on a real Kafka and a real registry
	@HYPOTHESIS_PROFILE=thorough $(PYTEST) -n 3 --dist loadfile tests/unit tests/contract tests/integration
	@$(PYTEST) tests/chaos

.PHONY: check
check: .venv/installed ## ruff, mypy, the import rule, unit and contract tests
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(PYTEST) -q tests/unit tests/contract

.PHONY: chaos
chaos: .venv/installed ## every experiment of tests/chaos in its long form, and a table of what was seen
	@CHAOS=long $(PYTEST) -q tests/chaos

.PHONY: bench
bench: .venv/installed ## leadstream beside its peers and the limits, in one run; tests/bench/RESULTS.md
	@$(RUN)python -m tests.bench

.PHONY: wheel
wheel: .venv/installed ## build the distribution and try it in an empty environment outside the checkout
	@sh deploy/try_wheel.sh "$(UV)"

.PHONY: clean
clean: ## remove what was built; the download cache and the sandbox's data stay
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml uv.lock $(UV)
	@echo "installing what uv.lock names"
	@"$(UV)" sync --quiet --frozen --all-extras --python python3 || "$(UV)" sync --quiet --frozen --all-extras --python python3 --offline
	@touch $@

$(UV):
	@sh deploy/install_uv.sh $(UV_VERSION) "$(CACHE)/uv-$(UV_VERSION)"
