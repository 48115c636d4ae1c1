# Each command installs what it needs in .venv or another .venv-* folder: for users and tests only files whose checksums
# are in requirements.txt and requirements-tests.txt, then the planner itself without its dependencies.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
MUTATION := .venv-mutation
USERS := .venv-users
SPEED := .venv-speed
RELEASE := .venv-release
ifeq ($(OS),Windows_NT)
  SCRIPTS := Scripts
else
  SCRIPTS := bin
endif
BIN := $(VENV)/$(SCRIPTS)
AUDIT := .venv-audit
HASHES := .venv-hashes
HASHED := -m pip install --quiet --disable-pip-version-check --require-hashes -r
ITSELF := -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
PEERS_BIN := $(PEERS)/$(SCRIPTS)
USERS_PYTHON := $(USERS)/$(SCRIPTS)/python
LANGUAGE ?= en
PLANNER := dist/vram_planner.xlsx
FUNCTIONS := dist/vram_functions.xlsx

.PHONY: workbook test test-fast test-pythons test-windows coverage lint licences audit-dependencies fuzz golden accuracy hashes
.PHONY: release parity peers bench measure mutation speed docs clean

workbook: $(VENV)/installed
	$(BIN)/vram template -o $(PLANNER) --lang $(LANGUAGE)
	$(BIN)/vram functions -o $(FUNCTIONS) --lang $(LANGUAGE)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto

# The tests that need no LibreOffice, Wine or Node.
test-fast: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto -m "not needs"

# Everything that a release ships, into dist/, with hashes. The same sources give the same bytes: pip takes the date of the
# wheel's files from SOURCE_DATE_EPOCH, here the earliest in a zip archive.
SBOM := $(RELEASE)/vram-planner.cdx.json
release: $(VENV)/installed $(USERS)/installed $(RELEASE)/installed
	rm -rf build $(RELEASE)/wheels dist/vram_*.whl
	SOURCE_DATE_EPOCH=315532800 $(RELEASE)/$(SCRIPTS)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation -w $(RELEASE)/wheels .
	$(RELEASE)/$(SCRIPTS)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml -o $(SBOM) $(USERS_PYTHON)
	$(BIN)/python -m tools.release dist --add $(SBOM) $$(printf ' --add %s' $(RELEASE)/wheels/*.whl)

# Every interface against the others, with many more random cases than `make test` tries.
PARITY_CASES ?= 1000000
parity: $(VENV)/installed-test
	VRAM_PARITY_CASES=$(PARITY_CASES) $(BIN)/python -m pytest -n auto tests/test_one_answer.py tests/test_doors.py tests/core/plan/test_memory.py \
	  tests/workbook/test_parity.py tests/workbook/test_functions.py tests/workbook/test_plan_parity.py

# The quickest of those whose result can differ between Pythons, on each other supported one that is installed.
test-pythons:
	.ci/test-pythons

test-windows: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/hosts/windows

# Branch coverage of the tests that need no other program: core/ 100%, the cell functions and workbook/ 95%.
coverage: $(VENV)/installed-lint
	$(BIN)/python -m pytest -n auto -m "not needs" --cov --cov-report=
	$(BIN)/python -m coverage report --include="core/*" --show-missing --skip-covered --fail-under=100
	$(BIN)/python -m coverage report --include="vram_udf.py,workbook/*" --show-missing --skip-covered --fail-under=95

# Style, types, dead code, licences. These licences are accepted for tests only: GPL (pcodedmp), PolyForm Noncommercial
# (xlwings-server), and none in the metadata (aiocache, BSD-3-Clause in its licence file).
TESTS_ONLY := aiocache pcodedmp xlwings-server
lint: $(VENV)/installed-lint $(USERS)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/pip-licenses --summary --python $(USERS_PYTHON)
	$(BIN)/pip-licenses --summary --ignore-packages vram-planner $(TESTS_ONLY)

# Renew the tables of docs/licences.md: what users install, and what tests and checks install in addition.
licences: $(VENV)/installed-lint $(USERS)/installed
	$(BIN)/pip-licenses --format markdown --python $(USERS_PYTHON) \
	  | $(BIN)/python -m tools.documents docs/licences.md users
	$(BIN)/pip-licenses --format markdown --allow-only "" \
	  --ignore-packages $$($(USERS_PYTHON) -m pip list --format freeze | cut -d= -f1) \
	  | $(BIN)/python -m tools.documents docs/licences.md tests

# Known vulnerabilities of the pinned versions. It asks an interface that mirrors do not have: without it the command says
# that nothing was checked, and fails.
audit-dependencies: $(AUDIT)/installed
	$(AUDIT)/$(SCRIPTS)/python tools/audit_dependencies.py constraints.txt

# Renew the checksums after a change of pyproject.toml or constraints.txt; read the difference before committing it.
EXTRAS_OF_TESTS := --extra hub --extra test --extra lint
hashes: $(HASHES)/installed
	$(HASHES)/$(SCRIPTS)/python -m tools.hashes requirements.txt --extra hub
	$(HASHES)/$(SCRIPTS)/python -m tools.hashes requirements-tests.txt $(EXTRAS_OF_TESTS)

# Many random examples of every law, and fuzzing of everything that reads foreign data; each program also runs alone:
# python -m tests.fuzz.cells --help.
# Fuzzing the readers is guided by coverage where atheris has a wheel (Linux); FUZZ_FILES is the number for each reader.
FUZZ_CALLS ?= 1000000
FUZZ_FILES ?= 20000
FUZZ_KILLS ?= 300
FUZZ_SEED ?= 1
fuzz: $(VENV)/installed-fuzz
	$(BIN)/python -m pytest -n auto -m "hypothesis and not needs" --hypothesis-profile=many --hypothesis-seed=$(FUZZ_SEED)
	$(BIN)/python -m tests.fuzz.cells --calls $(FUZZ_CALLS) --seed $(FUZZ_SEED)
	$(BIN)/python -m tests.fuzz.readers --runs $(FUZZ_FILES) --seed $(FUZZ_SEED)
	$(BIN)/python -m tests.fuzz.kills --kills $(FUZZ_KILLS) --seed $(FUZZ_SEED)

# Compare logged runs with what is computed; renew docs/accuracy.md.
accuracy: $(VENV)/installed
	$(BIN)/python -m tools.accuracy

# Ask other calculators again, in a separate environment, and renew docs/accuracy.md with their answers.
peers: $(VENV)/installed $(PEERS)/installed
	$(BIN)/python -m tools.peers.collect $(PEERS_BIN)/python
	$(BIN)/python -m tools.accuracy

# Measure speeds, each against a baseline in the same run; renew docs/performance.md. Takes some minutes.
bench: $(VENV)/installed-test $(PEERS)/installed
	$(BIN)/python -m benchmarks --peers $(PEERS_BIN)/python

# Compare what a GPU really allocates with what is computed; needs an NVIDIA GPU and PyTorch.
measure: $(VENV)/installed
	$(PYTHON) -m tools.measure

# Compare computed speeds with public measurements and renew docs/speed.md. SPEED_ROWS names a file with more rows of the
# same columns: then constants are also fitted again without each group and each source, to see the errors on what was left
# out, and other calculators are asked about the same rows. Takes a quarter of an hour.
SPEED_ROWS ?=
speed: $(SPEED)/installed $(if $(SPEED_ROWS),$(PEERS)/installed)
	$(SPEED)/$(SCRIPTS)/python -m benchmarks.speed \
	  $(if $(SPEED_ROWS),--rows $(SPEED_ROWS) --left-out --peers $(PEERS_BIN)/python)

# Change the code of core/ in many small ways and check that a test of tests/core fails each time. All of core/ takes hours,
# so name a part: make mutation MUTATE="core.plan.nodes*". `mutmut show NAME` prints a change that no test noticed.
MUTATE ?= core.*
mutation: $(MUTATION)/installed
	$(MUTATION)/$(SCRIPTS)/mutmut run "$(MUTATE)"
	$(MUTATION)/$(SCRIPTS)/mutmut results | sed '/: not checked$$/d'

# Renew the pictures of the documentation. Needs LibreOffice and poppler (pdftotext, pdftoppm).
docs: $(VENV)/installed
	$(BIN)/python -m tools.pictures

# Renew the reviewed copy of the generated VBA; read the difference before committing it.
golden: $(VENV)/installed
	$(BIN)/vram addin build -o dist
	cp dist/vram_functions.bas tests/golden/

$(VENV)/installed: pyproject.toml requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(HASHED) requirements.txt
	$(BIN)/python $(ITSELF)
	@touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-tests.txt
	$(BIN)/python $(HASHED) requirements-tests.txt
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	  --platform any --python-version 3.14 -d tests/hosts/web/wheels -r tests/hosts/web/pyodide-requirements.txt
	@touch $@

$(MUTATION)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(MUTATION)
	$(MUTATION)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[mutation]"
	@touch $@

$(USERS)/installed: pyproject.toml requirements.txt
	$(PYTHON) -m venv $(USERS)
	$(USERS_PYTHON) $(HASHED) requirements.txt
	$(USERS_PYTHON) $(ITSELF)
	@touch $@

$(SPEED)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(SPEED)
	$(SPEED)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[speed]"
	@touch $@

$(VENV)/installed-lint: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,lint,coverage]"
	@touch $@

$(RELEASE)/installed: Makefile
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 setuptools==82.0.1
	@touch $@

$(AUDIT)/installed: Makefile
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@

$(HASHES)/installed: Makefile
	$(PYTHON) -m venv $(HASHES)
	$(HASHES)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@touch $@

# Without dependencies: llm-analysis uses transformers and huggingface_hub only to fetch configs, and pins versions of 2023.
$(PEERS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[peers]"
	$(PEERS_BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-analysis==0.2.2
	@touch $@

$(VENV)/installed-fuzz: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-3.* $(PEERS) $(AUDIT) $(HASHES) $(MUTATION) $(USERS) $(RELEASE) $(SPEED) .wine mutants dist build *.egg-info
