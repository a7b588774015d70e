# A newcomer's two commands: `make run` and `make test`. Both create .venv, with what constraints.txt says was tested.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test test-long lint types install

run: install
	$(BIN)/nmt run experiment=quickstart $(ARGS)

test: install
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not long" $(ARGS)

# an hour; with Debian's chromium and chromium-driver the report is used in a browser too
test-long: install
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m long --timeout=1200 $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("nmt needs Python 3.11 to 3.13; name one: make PYTHON=python3.12" if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
