# Needs only make, a POSIX shell and Python >= 3.11 with venv; uses nothing newer than GNU make 3.81, macOS' own.
# Every path is relative, so that the folder's own path may hold spaces.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PLOTS := $(BIN)/python -c 'import matplotlib' 2>/dev/null || $(PIP) install 'matplotlib>=3.9'
# What others are measured with, installed when it is first needed: plain `torch` from PyPI brings gigabytes for a GPU.
TORCH ?= torch --index-url https://download.pytorch.org/whl/cpu
PYTORCH := $(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) install $(TORCH)
CHEX := $(BIN)/python -c 'import chex' 2>/dev/null || $(PIP) install 'chex>=0.1.90'
MUTATES := $(BIN)/python -c 'import cosmic_ray' 2>/dev/null || $(PIP) install 'cosmic-ray>=8.7'

.PHONY: help verify test deep accuracy false-alarms compare found naming vectors mutants bench gallery lint check lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo '  ARGS="…" is passed on, as in: make test ARGS="-k fused -x"'

verify: $(STAMP) ## hold the hand derivation against every truth: the main job
	@$(BIN)/lstm-oracle verify $(ARGS)

test: $(STAMP) ## run the test suite, two files at a time
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

deep: $(STAMP) ## run the test suite with many more drawn examples
	@HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest $(ARGS)

accuracy: $(STAMP) ## measure rounding errors against certified truth; minutes
	@$(PLOTS)
	@$(BIN)/python tests/accuracy $(ARGS)

false-alarms: $(STAMP) ## measure the tolerance on honest and on wrong implementations; minutes
	@$(PYTORCH) || echo 'PyTorch is left out.' >&2
	@$(BIN)/python -m tests.policy $(ARGS)

compare: $(STAMP) ## count what this suite, gradient checks and ONNX's vectors catch; a quarter of an hour
	@$(PYTORCH)
	@$(CHEX)
	@$(BIN)/python -m tests.comparison $(ARGS)

found: $(STAMP) ## judge the known packages that are installed in .venv, and write what is found; minutes
	@$(PYTORCH)
	@$(BIN)/python -c 'import equinox, haiku, keras' 2>/dev/null || $(PIP) install 'equinox>=0.11' 'dm-haiku>=0.0.13' 'keras>=3.9'
	@$(BIN)/python -m tests.found $(ARGS)

bench: $(STAMP) ## measure speed and memory beside other LSTMs (ARGS=--quick: less of it)
	@$(PLOTS)
	@$(BIN)/python -c 'import line_profiler' 2>/dev/null || $(PIP) install 'line-profiler>=5'
	@$(PYTORCH) || echo 'PyTorch is left out.' >&2
	@$(BIN)/python -m tests.benchmarks $(ARGS)

naming: $(STAMP) ## measure how well known mistakes are named: alone, in pairs, in threes
	@$(BIN)/python -m tests.naming $(ARGS)

vectors: $(STAMP) ## compute the fewest test vectors that expose every mistake; minutes
	@$(BIN)/python -m tests.vectors $(ARGS)

gallery: $(STAMP) ## make the pictures of a report; needs a C compiler, chromium and chromedriver
	@$(BIN)/python -c 'import selenium' 2>/dev/null || $(PIP) install 'selenium>=4.30'
	@$(BIN)/python -m tests.gallery

mutants: $(STAMP) ## change the code in one place at a time, and see a test fail each time; under an hour
	@$(MUTATES)
	@$(BIN)/python -m tests.mutation $(ARGS)

lint: $(STAMP) ## ruff, the formatter's check, and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

check: ## lint, test and verify: run it before a push
	@$(MAKE) --no-print-directory lint ARGS=
	@$(MAKE) --no-print-directory test ARGS=
	@$(MAKE) --no-print-directory verify ARGS=

lock: ## renew requirements.lock after a change of dependencies (ARGS=--upgrade: newest versions)
	@$(require_python)
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && trap 'exit 1' HUP INT TERM && \
	"$(PYTHON)" -m venv "$$tmp/venv" && "$$tmp/venv/bin/python" -m pip --disable-pip-version-check -qq install 'uv>=0.8' && \
	UV_CUSTOM_COMPILE_COMMAND='make lock' "$$tmp/venv/bin/uv" pip compile pyproject.toml --quiet $(ARGS) \
	    --extra oracle --group dev --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-config --output-file requirements.lock

clean: ## remove .venv, caches and build products
	rm -rf .venv build dist .hypothesis .mutants .mypy_cache .pytest_cache .ruff_cache
	find manual reference tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp comes last and goes first: without it an installation was cut short, and starts over.
$(STAMP): requirements.lock pyproject.toml
	@$(require_python)
	@echo 'Installing into .venv from requirements.lock; this takes a minute or two.'
	@if test -e $@; then rm $@; else "$(PYTHON)" -m venv --clear .venv; fi
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

define require_python
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
    { echo 'error: needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3' >&2; exit 1; }; \
"$(PYTHON)" -c 'import ensurepip, venv' || \
    { echo 'error: $(PYTHON) lacks venv or pip; on Debian or Ubuntu: apt install python3-venv' >&2; exit 1; }
endef
