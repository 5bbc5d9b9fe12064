# Everything a person or CI runs. `make demo` and `make test` set up what they need; `make venv` does nothing twice.
#   make venv PYTHON=python3.12                                        another interpreter (3.11 or later)
#   make venv TORCH_INDEX=https://download.pytorch.org/whl/cpu         the small CPU build of torch, on a machine without a GPU

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
TORCH_INDEX ?=
KILLS ?= 20
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# The stamp carries a hash of what decides the installation, so a changed pin installs again and a touched file does not.
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)
TORCH := $(shell grep '^torch==' constraints.txt)
# One line a package instead of silence or a flood; pip's errors go to standard error and stay whole.
BRIEF := sed -Eun 's/^(.{110}).*/\1…/; s/^ *(Downloading|Installing collected|Successfully installed) /  \1 /p'

.PHONY: help venv demo test check style faults published chaos cluster-test bench tree

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  */  make \1: /p' Makefile

venv: $(STAMP)  ## set up .venv; nothing happens when it is up to date

$(STAMP): pyproject.toml constraints.txt
	@if [ ! -e "$@" ]; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "FineGrid needs Python 3.11 or later; '$(PYTHON)' is not. Try: make venv PYTHON=python3.11" >&2; exit 1; }; \
	  echo "Setting up $(VENV): some minutes the first time ($(TORCH) is by far the largest part)"; \
	  $(PYTHON) -m venv $(VENV); \
	  $(if $(TORCH_INDEX),,command -v nvidia-smi >/dev/null || echo "(no NVIDIA GPU seen: the first lines of Makefile name a smaller build of torch)"; )\
	  $(BIN)/python -m pip install -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)" | $(BRIEF); \
	  $(BIN)/python -m pip install -c constraints.txt -e '.[dev]' | $(BRIEF); \
	  rm -f $(VENV)/.installed-*; \
	fi
	@touch "$@"

demo: venv  ## the whole tool on one machine, offline: 5 tiny models x 12 data sets x 2 seeds
	@$(BIN)/python -m grid.run demo

test: venv  ## the tests, without the fault tier, in two processes (JOBS=0: in one)
	@$(BIN)/python -m pytest -m "not faults and not published" -n $(JOBS) --dist loadfile

check: venv  ## what CI checks: format, lint, types, import contracts; changes nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

style: venv  ## mend format and lint
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

faults: venv  ## all fault tests: kills, full disks, hangs, hostile input (half an hour; CI runs the first tier of them)
	@$(BIN)/python -m pytest tests/faults --timeout=900

published: venv  ## every table and figure of the five published experiments, on tiny models (ten minutes)
	@$(BIN)/python -m pytest tests/published

chaos: venv  ## random kills of a real grid, then the comparison with the undisturbed one: make chaos KILLS=200 SEED=7
	@$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

cluster-test: venv  ## `ray up` for real: three machines by ssh on loopback, inside namespaces (root; 5 minutes)
	@$(BIN)/python -m tests.cluster.loopback

bench: venv  ## measure packed training on your model and data: make bench MODEL=DIR DATA=DIR (see benchmarks/README.md)
	@if [ -z "$(MODEL)" ] || [ -z "$(DATA)" ]; then \
	  echo "usage: make bench MODEL=DIR DATA=DIR    (a model folder; a folder with GoEmotions' train.tsv, dev.tsv, test.tsv)"; exit 2; fi
	$(BIN)/python benchmarks/packed_training.py --model "$(MODEL)" --data "$(DATA)" --json

tree: venv  ## rewrite the file list of README.md from the tracked files
	@$(BIN)/python -m tests.readme_tree
