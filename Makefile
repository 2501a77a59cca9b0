# Every target makes its own .venv from plain python3 and pip; nothing else is installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt --only-binary pythia8mc
# Its own requirements would take numpy back to 1.26; it works with today's.
PEERS := energyflow wasserstein wurlitzer

.PHONY: demo test lint docs docs-serve clean help

help:
	@echo "make demo   generate 20,000 jets, train LundNet-5, measure it (once made, the jets are kept)"
	@echo "make test   run the tests"
	@echo "make lint   ruff and mypy"
	@echo "make docs   build the documentation into site/"

$(VENV)/installed-run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("jetforge needs Python 3.11 or newer, not %d.%d: make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "installing jetforge into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable '.[generate]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-run
	@echo "installing the test tools into $(VENV) ..."
	@$(INSTALL) --editable '.[generate,dev]'
	@$(INSTALL) --no-deps $(PEERS) || echo "EnergyFlow cannot be installed here: tests that compare with it are skipped"
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed-run
	@echo "installing the documentation tools into $(VENV) ..."
	@$(INSTALL) --editable '.[generate,docs]'
	@touch $@

demo: $(VENV)/installed-run
	@$(BIN)/jetforge run recipes/demo.yaml

test: $(VENV)/installed-dev
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: $(VENV)/installed-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

docs-serve: $(VENV)/installed-docs
	@$(BIN)/mkdocs serve

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache
