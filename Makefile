# The commands: `make workbook`, `make test` and its part `make test-windows`. They set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
  BIN := $(VENV)/Scripts
else
  BIN := $(VENV)/bin
endif
LANGUAGE ?= en
PLANNER := dist/vram_planner.xlsx

.PHONY: workbook test test-windows clean

workbook: $(VENV)/installed
	$(BIN)/vram template -o $(PLANNER) --lang $(LANGUAGE)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto

test-windows: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/test_windows_stack.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) .wine dist build *.egg-info
