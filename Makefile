# Everything a contributor or an operator of one machine needs; `make` lists it. Needs Python 3.11 or newer, and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# where `make up` keeps its data, and more options for it: make up ARGS="--port 8080"
ARGS   ?=
# what `make test` runs: make test TESTS=tests/links
TESTS  ?= tests
# processes of `make test`: two a core, since a test that kills and waits uses none
JOBS   ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))

.DEFAULT_GOAL := help
.PHONY: help install up serve worker migrate test check format bench lock clean

help:  ## List what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed  ## Make .venv and install the locked packages and this project into it

up: install  ## Start everything on this machine (PostgreSQL, Valkey, S3, API, worker) and print the URL and the token
	$(BIN)/imagesvc up $(ARGS)

serve: install  ## Run the API alone, against the servers that the environment names
	$(BIN)/imagesvc serve $(ARGS)

worker: install  ## Run one background worker alone
	$(BIN)/imagesvc worker $(ARGS)

migrate: install  ## Bring the database that the environment names to the newest schema
	$(BIN)/imagesvc migrate $(ARGS)

test: install  ## Run all tests, against real servers that they start themselves
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(TESTS)

check: install  ## Look at the code without running it: style, types, which way imports point
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install  ## Put the code into its agreed form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Measure on this machine and write docs/performance.md
	$(BIN)/python -m bench

lock: install  ## Resolve the dependencies anew into requirements/*.lock (needs the package index)
	$(BIN)/pip install --quiet uv
	$(call resolve,base)
	$(call resolve,embedded,--extra embedded)
	$(call resolve,dev,--extra embedded --extra dev)

clean:  ## Remove .venv and caches; data folders stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# hashes of every file for Python 3.11 to 3.13, and no address: whatever index or mirror is set up is the right one
define resolve
	$(BIN)/uv pip compile pyproject.toml $(2) --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" --output-file requirements/$(1).lock
endef

$(VENV)/installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "imagesvc needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
