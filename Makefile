# The commands: `make workbook`, `make test` and its part `make test-windows`, `make fuzz`. They set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
MUTATION := .venv-mutation
ifeq ($(OS),Windows_NT)
  SCRIPTS := Scripts
else
  SCRIPTS := bin
endif
BIN := $(VENV)/$(SCRIPTS)
AUDIT := .venv-audit
PEERS_BIN := $(PEERS)/$(SCRIPTS)
LANGUAGE ?= en
PLANNER := dist/vram_planner.xlsx

.PHONY: workbook test test-fast test-pythons test-windows coverage lint licences audit-dependencies fuzz golden accuracy
.PHONY: peers bench measure mutation clean

workbook: $(VENV)/installed
	$(BIN)/vram template -o $(PLANNER) --lang $(LANGUAGE)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto

# The tests that need Python alone: no LibreOffice, Wine, Node.
test-fast: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto -m "not needs"

# The quickest of them on each other supported Python that is installed here.
test-pythons:
	.ci/test-pythons

test-windows: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/hosts/windows

# Branch coverage by the tests that need no engine: core/ wholly, the cell functions and workbook/ nearly so.
coverage: $(VENV)/installed-lint
	$(BIN)/python -m pytest -n auto -m "not needs" --cov --cov-report=
	$(BIN)/python -m coverage report --include="core/*" --show-missing --skip-covered --fail-under=100
	$(BIN)/python -m coverage report --include="vram_udf.py,workbook/*" --show-missing --skip-covered --fail-under=95

# Style, types, dead code, licences.
lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/python -m tools.licences --check

licences: $(VENV)/installed-lint
	$(BIN)/python -m tools.licences

# Known vulnerabilities of the pinned versions; asks the package index's own interface, which mirrors do not have.
audit-dependencies: $(AUDIT)/installed
	$(AUDIT)/$(SCRIPTS)/pip-audit --strict --no-deps --disable-pip -r constraints.txt

# The campaigns against other people's data, with their counts; each runs alone too: python -m tests.fuzz.cells --help.
# The readers' is guided by coverage where atheris has a wheel (Linux); FUZZ_FILES is for each of them.
FUZZ_CALLS ?= 1000000
FUZZ_FILES ?= 20000
FUZZ_KILLS ?= 300
FUZZ_SEED ?= 1
fuzz: $(VENV)/installed-fuzz
	$(BIN)/python -m tests.fuzz.cells --calls $(FUZZ_CALLS) --seed $(FUZZ_SEED)
	$(BIN)/python -m tests.fuzz.readers --runs $(FUZZ_FILES) --seed $(FUZZ_SEED)
	$(BIN)/python -m tests.fuzz.kills --kills $(FUZZ_KILLS) --seed $(FUZZ_SEED)

# Every logged run beside what is computed for it; writes docs/accuracy.md.
accuracy: $(VENV)/installed
	$(BIN)/python -m tools.accuracy

# Asks other calculators anew, in an environment of their own, and writes what they answered into docs/accuracy.md.
peers: $(VENV)/installed $(PEERS)/installed
	$(BIN)/python -m tools.peers.collect $(PEERS_BIN)/python
	$(BIN)/python -m tools.accuracy

# How fast everything is, each against a baseline in the same run; writes docs/performance.md. Takes some minutes.
bench: $(VENV)/installed-test $(PEERS)/installed
	$(BIN)/python -m benchmarks --peers $(PEERS_BIN)/python

# What a GPU here really allocates beside what is computed; needs an NVIDIA GPU and PyTorch.
measure: $(VENV)/installed
	$(PYTHON) -m tools.measure

# Changes the code of core/ and sees whether a test notices; writes docs/mutation.md. Half an hour, then minutes.
mutation: $(MUTATION)/installed
	$(MUTATION)/$(SCRIPTS)/python -m tools.mutation

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
	  --platform any --python-version 3.14 -d tests/hosts/web/wheels -r tests/hosts/web/pyodide-requirements.txt
	@touch $@

$(MUTATION)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(MUTATION)
	$(MUTATION)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[mutation]"
	@touch $@

$(VENV)/installed-lint: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,lint,coverage]"
	@touch $@

$(AUDIT)/installed: Makefile
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@

# llm-analysis uses transformers and huggingface_hub only to fetch configs; its pins of them are of 2023.
$(PEERS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[peers]"
	$(PEERS_BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-analysis==0.2.2
	@touch $@

$(VENV)/installed-fuzz: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-3.* $(PEERS) $(AUDIT) $(MUTATION) .wine dist build *.egg-info
