# Needs Python 3.11, 3.12 or 3.13 and make; the rest is bootstrapped into .venv from the locks.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,\
  $(shell $(p) -c 'import sys; (3, 11) <= sys.version_info[:2] < (3, 14) and print(sys.executable)' 2>/dev/null)))
UV_VERSION := 0.13.8
BIN := .venv/bin
UV := $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)
# Where this is set, every process compiles everything anew: 4 s for each command.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := VIRTUAL_ENV=.venv $(UV) pip install --quiet

.PHONY: help demo dev test test-long test-all check format graph bench lock clean
help:
	@echo "make demo      a day of content for the two example sites, no key needed"
	@echo "make dev       the Dagster UI on http://localhost:3000 with everything behind it"
	@echo "make test      the fast tests      make test-all  and the kill, race and fault tests"
	@echo "make check     style, types, import rules, definitions      make bench  the benchmarks"

demo: .venv/runtime
	@$(BIN)/pressroom demo

dev: .venv/runtime
	@exec $(BIN)/pressroom dev

test: .venv/dev
	$(BIN)/pytest -n 2 --dist worksteal -m "not long"

test-long: .venv/dev
	$(BIN)/pytest -n 2 --dist worksteal -m long

test-all: test test-long

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg check defs

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

graph: .venv/dev
	$(BIN)/python docs/asset_graph.py

bench: .venv/dev .venv/bench
	$(BIN)/python -m bench $(NAMES) $(if $(DATA),--data $(DATA))

lock: .venv/uv
	$(UV) pip compile --quiet $(if $(PACKAGE),--upgrade-package $(PACKAGE),--upgrade) pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.lock
	$(UV) pip compile --quiet pyproject.toml --group dev --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-dev.lock
	$(UV) pip compile --quiet --group bench --constraint requirements-dev.lock --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-bench.lock

clean:
	-$(BIN)/pressroom db stop
	rm -rf .venv .pressroom build *.egg-info

.venv/uv:
	@test -n "$(PYTHON)" || { echo "Pressroom needs Python 3.11, 3.12 or 3.13: install one, or name it with make PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "this Python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/runtime: .venv/uv requirements.lock pyproject.toml
	@echo "Installing the locked packages ..."
	@$(INSTALL) --requirement requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/runtime requirements-dev.lock
	@$(INSTALL) --requirement requirements-dev.lock
	@touch $@

.venv/bench: .venv/dev requirements-bench.lock
	@$(INSTALL) --requirement requirements-bench.lock
	@touch $@
