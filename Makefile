# Targets for contributors and for operators of one machine; `make` lists them. Needs Python 3.11 or newer.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# options of `up`, `serve`, `worker` and `migrate`: make up ARGS="--port 8080"
ARGS   ?=
# what `make test` runs: make test TESTS=tests/links
TESTS  ?= tests
# processes of `make test`: two per core, because tests that wait for processes use no CPU
JOBS   ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))

# generated requests for each operation in `make contract`
EXAMPLES ?= 1000

LOCALE := src/imagesvc/web/locale

.DEFAULT_GOAL := help
.PHONY: help install up serve worker migrate test test-versitygw check format contract bench messages screenshots lock clean

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run the service

up: install  ## Start everything on this machine; print the URL and the admin token
	$(BIN)/imagesvc up $(ARGS)

serve: install  ## Run the API against the servers that the environment names
	$(BIN)/imagesvc serve $(ARGS)

worker: install  ## Run one worker against the servers that the environment names
	$(BIN)/imagesvc worker $(ARGS)

migrate: install  ## Upgrade the database to the newest schema
	$(BIN)/imagesvc migrate $(ARGS)

##@ Change the service

install: $(VENV)/installed  ## Create .venv and install the locked packages and this project into it

# compiled code is kept, whatever the environment says: the tests start hundreds of processes
test: install  ## Run all tests, against real servers that they start themselves
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist worksteal $(TESTS)

test-versitygw: install  ## Run the tests that use object storage on a second S3 server, which must be installed
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m tests.on_versitygw

check: install  ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install  ## Format the code and fix what can be fixed automatically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##@ Occasional tasks

contract: install  ## Hold the API against its OpenAPI document with schemathesis: make contract EXAMPLES=1000
	$(BIN)/python -m tests.contract $(EXAMPLES)

bench: install  ## Measure on this machine and write docs/performance.md
	$(BIN)/python -m bench

screenshots: install  ## Make the pictures of the README again, from the running pages
	IMAGESVC_SCREENSHOTS=docs/pictures $(BIN)/pytest -q tests/web/test_screenshots.py

messages: install  ## Add new messages of the pages to the catalogues of all languages
	$(BIN)/pybabel -q extract -F $(LOCALE)/babel.cfg --no-location --sort-output --project imagesvc -o $(LOCALE)/messages.pot src/imagesvc/web
	for catalogue in $(LOCALE)/*.po; do $(BIN)/pybabel -q update --no-fuzzy-matching --ignore-obsolete --no-wrap \
	  -i $(LOCALE)/messages.pot -o $$catalogue -l $$(basename $$catalogue .po); done
	rm $(LOCALE)/messages.pot

lock: install  ## Resolve the dependencies again into requirements/*.lock
	$(BIN)/pip install --quiet uv
	$(call resolve,base)
	$(call resolve,embedded,--extra embedded)
	$(call resolve,dev,--extra embedded --extra dev)

clean:  ## Remove .venv and caches; data folders stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Hashes of every file for Python 3.11 to 3.13, without index addresses, so that any configured index or mirror works.
define resolve
	$(BIN)/uv pip compile pyproject.toml $(2) --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" --output-file requirements/$(1).lock
endef

$(VENV)/installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "imagesvc needs Python 3.11 or newer; choose one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "cannot create a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
