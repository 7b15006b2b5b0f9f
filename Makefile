# Requires make, a POSIX shell, and Python >= 3.11 with venv. Works with GNU make 3.81, the version that macOS has.
# All paths are relative, because the path of this folder may contain spaces.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PLOTS := $(BIN)/python -c 'import matplotlib' 2>/dev/null || $(PIP) install 'matplotlib>=3.9'
# Packages that only measurements need are installed when they are first used. PyTorch is its CPU build: the one on PyPI
# brings gigabytes of GPU libraries.
TORCH ?= torch --index-url https://download.pytorch.org/whl/cpu
PYTORCH := $(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) install $(TORCH)
CHEX := $(BIN)/python -c 'import chex' 2>/dev/null || $(PIP) install 'chex>=0.1.90'
MUTATES := $(BIN)/python -c 'import cosmic_ray' 2>/dev/null || $(PIP) install 'cosmic-ray>=8.7'

.PHONY: help verify test proof proof-mutants deep accuracy false-alarms compare found naming vectors mutants bench gallery lint check lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo '  ARGS="…" passes options on, for example: make test ARGS="-k fused -x"'

verify: $(STAMP) ## verify the hand derivation; the main job
	@$(BIN)/lstm-oracle verify $(ARGS)

test: $(STAMP) ## run the tests, two files at a time
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

proof: $(STAMP) ## check the proof of the derivation; needs coqc and Coquelicot
	@$(BIN)/python -m lstm_oracle.verify.proof $(ARGS)

proof-mutants: $(STAMP) ## change the proof in one line at a time, which Coq has to notice; minutes
	@$(BIN)/python -m tests.proof $(ARGS)

deep: $(STAMP) ## run the tests with many more random examples; hours
	@HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest $(ARGS)

accuracy: $(STAMP) ## measure rounding errors against certified values; minutes
	@$(PLOTS)
	@$(BIN)/python tests/accuracy $(ARGS)

false-alarms: $(STAMP) ## measure the tolerance on correct and incorrect LSTMs; minutes
	@$(PYTORCH) || echo 'Could not install PyTorch; continuing without it.' >&2
	@$(BIN)/python -m tests.policy $(ARGS)

compare: $(STAMP) ## count the mistakes that the oracle and other checks find; 15 minutes
	@$(PYTORCH)
	@$(CHEX)
	@$(BIN)/python -m tests.comparison $(ARGS)

found: $(STAMP) ## judge known packages and write FOUND.md; minutes
	@$(PYTORCH)
	@$(BIN)/python -c 'import equinox, haiku, keras' 2>/dev/null || $(PIP) install 'equinox>=0.11' 'dm-haiku>=0.0.13' 'keras>=3.9'
	@$(BIN)/python -m tests.found $(ARGS)

bench: $(STAMP) ## measure speed and memory next to other LSTMs (ARGS=--quick for less)
	@$(PLOTS)
	@$(BIN)/python -c 'import line_profiler' 2>/dev/null || $(PIP) install 'line-profiler>=5'
	@$(PYTORCH) || echo 'Could not install PyTorch; continuing without it.' >&2
	@$(BIN)/python -m tests.benchmarks $(ARGS)

naming: $(STAMP) ## measure how well mistakes are named, single and combined
	@$(BIN)/python -m tests.naming $(ARGS)

vectors: $(STAMP) ## compute the fewest test vectors that expose every mistake; minutes
	@$(BIN)/python -m tests.vectors $(ARGS)

gallery: $(STAMP) ## render the pictures of a report; needs cc, chromium and chromedriver
	@$(BIN)/python -c 'import selenium' 2>/dev/null || $(PIP) install 'selenium>=4.30'
	@$(BIN)/python -m tests.gallery

mutants: $(STAMP) ## run the tests on code changed in one place at a time; under an hour
	@$(MUTATES)
	@$(BIN)/python -m tests.mutation $(ARGS)

lint: $(STAMP) ## run ruff, the check of its formatter, and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

check: ## lint, test and verify; run it before every push
	@$(MAKE) --no-print-directory lint ARGS=
	@$(MAKE) --no-print-directory test ARGS=
	@$(MAKE) --no-print-directory verify ARGS=

lock: ## renew requirements.lock (ARGS=--upgrade for the newest versions)
	@$(require_python)
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && trap 'exit 1' HUP INT TERM && \
	"$(PYTHON)" -m venv "$$tmp/venv" && "$$tmp/venv/bin/python" -m pip --disable-pip-version-check -qq install 'uv>=0.8' && \
	UV_CUSTOM_COMPILE_COMMAND='make lock' "$$tmp/venv/bin/uv" pip compile pyproject.toml --quiet $(ARGS) \
	    --extra oracle --group dev --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-config --output-file requirements.lock

clean: ## remove .venv, caches and build products
	rm -rf .venv build dist .proof .hypothesis .mutants .mypy_cache .pytest_cache .ruff_cache
	find manual reference tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is removed first and written last: if it is missing, an installation was interrupted and starts over.
$(STAMP): requirements.lock pyproject.toml
	@$(require_python)
	@echo 'Installing the locked dependencies into .venv; this takes a minute or two.'
	@if test -e $@; then rm $@; else "$(PYTHON)" -m venv --clear .venv; fi
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

define require_python
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
    { echo 'error: requires Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3' >&2; exit 1; }; \
"$(PYTHON)" -c 'import ensurepip, venv' || \
    { echo 'error: $(PYTHON) lacks venv or pip; on Debian or Ubuntu: apt install python3-venv' >&2; exit 1; }
endef
