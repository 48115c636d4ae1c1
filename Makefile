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

.PHONY: workbook test test-windows golden accuracy measure clean

workbook: $(VENV)/installed
	$(BIN)/vram template -o $(PLANNER) --lang $(LANGUAGE)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto

test-windows: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/test_windows_stack.py

# Every logged run beside what is computed for it; writes docs/accuracy.md.
accuracy: $(VENV)/installed
	$(BIN)/python -m tools.accuracy

# What a GPU here really allocates beside what is computed; needs an NVIDIA GPU and PyTorch.
measure: $(VENV)/installed
	$(PYTHON) -m tools.measure

# Renews the reviewed copy of the generated VBA; read the difference before committing it.
golden: $(VENV)/installed
	$(BIN)/vram addin build -o dist
	cp dist/vram_functions.bas tests/golden/

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	  --platform any --python-version 3.14 -d tests/web/wheels -r tests/web/pyodide-requirements.txt
	@touch $@

clean:
	rm -rf $(VENV) .wine dist build *.egg-info
