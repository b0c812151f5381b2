# Everything a reader needs: `make run` makes the results, `make test` passes the tests.
# Only Python 3.11 or newer and make are assumed; the rest is installed into .venv.
.POSIX:

PYTHON = python3
UV = uv
# 0 is all of them
CORES = 0
TESTFLAGS =
# Tests of one file share what they have made, so files go to cores, the longest first.
SIDE_BY_SIDE = --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
BENCHFLAGS =

VENV = .venv
BIN = $(VENV)/bin
IN_ENV = PATH="$$PWD/$(BIN):$$PATH"
LOCKED = $(VENV)/locked
INSTALLED = $(VENV)/installed
# The validator of RO-Crates wants older packages than neurolim: it lives by itself.
ROCRATE = .venv-rocrate/locked

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 20

env: $(INSTALLED) ## make the environment .venv with the command neurolim

run: env ## run the default studies to results/ and results/report.html (CORES=2: on two cores)
	@$(IN_ENV) neurolim run --cores $(CORES)

test: env ## pass the tests, all but the slow ones (TESTFLAGS are handed to pytest)
	@$(IN_ENV) pytest $(SIDE_BY_SIDE) -m "not slow" $(TESTFLAGS)

test-sample: env ## pass those of the slow tests that .ci/run takes
	@$(IN_ENV) pytest $(SIDE_BY_SIDE) -m "slow and ci" $(TESTFLAGS)

test-all: env ## pass all tests
	@$(IN_ENV) pytest $(SIDE_BY_SIDE) $(TESTFLAGS)

lint: env ## check style, types, imports and workflow
	$(IN_ENV) ruff check
	$(IN_ENV) ruff format --check
	$(IN_ENV) mypy
	$(IN_ENV) lint-imports --no-logo
	$(IN_ENV) snakefmt --check Snakefile workflow
	$(IN_ENV) snakemake --lint

format: env ## lay out the code as `make lint` wants it
	$(IN_ENV) ruff check --fix
	$(IN_ENV) ruff format
	$(IN_ENV) snakefmt Snakefile workflow

wheel: env ## write a wheel of neurolim, workflow and all, to dist/
	@$(BIN)/python -m pip wheel -qq --disable-pip-version-check \
	--no-deps --no-build-isolation --wheel-dir dist .

bench-env: ## make the peers' environment for the benchmarks (Brian2, JAX)
	@$(PYTHON) -m venv --clear benchmarks/.venv
	@benchmarks/.venv/bin/python -m pip install -qq --disable-pip-version-check \
	-r benchmarks/requirements.txt

bench: env ## measure speed beside a C++ loop and, if bench-env was made, peers (BENCHFLAGS=--docs)
	@$(BIN)/python benchmarks/bench.py $(BENCHFLAGS)

validator: $(ROCRATE) ## make the environment .venv-rocrate in which archives are validated

changelog: env ## move the fragments in changes/ to CHANGELOG.md (VERSION=1.2.3)
	@echo "$(VERSION)" | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || { \
	echo "VERSION=$(VERSION) is no version such as VERSION=1.2.3"; exit 1; }
	@ls changes/*.*.md >/dev/null 2>&1 || { echo "no fragments in changes/"; exit 1; }
	@$(IN_ENV) towncrier build --yes --version "$(VERSION)"

conda: env ## write environment.yml, for those who have conda, from pyproject.toml
	@$(BIN)/python .ci/environment.py

lock: ## pin every dependency with its hashes (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv (pip install uv), or UV=..."; exit 1; }
	$(PYTHON) -c "import tomllib as t; \
	print(*t.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
	| $(UV) pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --output-file requirements.lock pyproject.toml -

clean: ## remove the environment and all caches; results stay
	rm -rf $(VENV) .venv-rocrate .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf .hypothesis build src/*.egg-info
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# A changed lock makes a new environment; a changed pyproject only installs neurolim again.
$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "neurolim needs Python 3.11 or newer; $(PYTHON) is" \
	"`$(PYTHON) --version 2>&1`. Say which to use: make PYTHON=python3.12"; exit 1; }
	@echo "Making $(VENV) from requirements.lock: about a minute, once"
	@$(PYTHON) -m venv --clear $(VENV) || { \
	echo "$(PYTHON) cannot make environments; on Debian: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	--require-hashes -r requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	--no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Environment ready: $(BIN)/neurolim"

$(ROCRATE): tests/archive/validator.lock
	@$(PYTHON) -m venv --clear .venv-rocrate
	@.venv-rocrate/bin/python -m pip install -qq --disable-pip-version-check \
	--require-hashes -r tests/archive/validator.lock
	@touch $@

.PHONY: help env conda run test test-sample test-all lint format wheel bench-env bench changelog lock validator clean
