# Every target sets up what it needs: Python 3.11 or newer with venv and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tools that have environments of their own.
UV := uv==0.13.9
AUDIT := pip-audit==2.10.1
BOM := cyclonedx-bom==7.5.0
MUTATE := cosmic-ray==8.7.0

.PHONY: help install install-locked lock demo test test-thorough test-slow test-oldest test-wheel \
	check format bench fuzz torture coverage mutation docs notebook reference release audit clean

help:
	@echo "make demo           train on real digits: search the learning rate, draw the pictures"
	@echo "make test           install what the tests need and run them"
	@echo "make test-thorough  variations and long ways of what those test once"
	@echo "make test-slow      the longer tests, on MNIST, Fashion-MNIST and CIFAR where present"
	@echo "make test-oldest    the tests with the oldest releases that pyproject.toml allows"
	@echo "make test-wheel     the tests with the wheel; PYTHON_VERSION=3.13, RESOLUTION=lowest-direct"
	@echo "make check          lint and type-check"
	@echo "make format         rewrite the code as the linter wants it"
	@echo "make bench          time a training step beside the same step in PyTorch"
	@echo "make torture        faults at random moments, by default 100 of each; TORTURE='--times 5'"
	@echo "make coverage       the tests, and the share of lines that they run; at least 95 %"
	@echo "make mutation       how many small faults in core/ the tests find; at least 80 %"
	@echo "make fuzz           damaged files for every reader, by default a million; FUZZ='--only npz'"
	@echo "make docs           build the pages of docs/ as a site, and check examples and links"
	@echo "make notebook       make demo.ipynb of examples/demo.py, and run it"
	@echo "make reference      write docs/settings.md and docs/cli.md anew"
	@echo "make lock           write requirements*.lock anew; UPGRADE=--upgrade takes newer releases"
	@echo "make install-locked install exactly what requirements.lock names"
	@echo "make release        build wheel and source archive, list what they need, and try the wheel"
	@echo "make audit          look for known weaknesses in all libraries, with those of all extras"
	@echo "make clean          remove the environment, the demonstration and the site"

install: $(VENV)/installed

install-locked: | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	@touch $(VENV)/installed

# Beside the package's own requirements: the build backend, and what it imports for an editable
# install. The CUDA file holds the same versions as the other one and CUDA.
LOCK = printf '%s\n' hatchling 'editables~=0.3' | $(BIN)/uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock' --extra tensorboard --extra postgresql $(UPGRADE)

lock: | $(BIN)/uv
	$(LOCK) --output-file requirements.lock pyproject.toml -
	$(LOCK) --output-file requirements-cuda.lock --extra cuda --constraint requirements.lock \
		pyproject.toml -

demo: $(VENV)/installed
	rm -rf runs/demo
	$(BIN)/python train.py --dataset digits --examples_frac 0 --num_epochs 100 \
		--executions_per_trial 2 --objective fresh_val_loss --seed 1 --out runs/demo

# Compiled modules are kept even where the environment forbids it: the suite starts hundreds of
# processes, which use them again.
test test-thorough test-slow test-wheel coverage torture: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/installed-dev
	@tests/programs.sh
	$(BIN)/python -m pytest -m "not slow and not thorough" --numprocesses 2

test-thorough: $(VENV)/installed-dev
	AUTODECODER_NEW_EXAMPLES=1 $(BIN)/python -m pytest -m "thorough and not slow" --numprocesses 2

# With programs compiled as users' are; the quick tests compile theirs with little optimisation.
test-slow: $(VENV)/installed-dev
	XLA_FLAGS= JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(BIN)/python -m pytest -m slow

# The tests of the source archive with the wheel, in an environment of its own, where there is no src/.
# Releases are chosen from pyproject.toml: of a wheel, the resolver would not take the oldest ones.
# They are the newest or oldest that have wheels for this Python.
# That the oldest releases use what today's releases of others no longer recommend is no fault.
# A skipped test fails, as in .ci/run. The results are recorded also when tests fail.
WHEEL := build/wheel
PYTHON_VERSION ?= 3.11
RESOLUTION ?= highest
MARK ?= not slow and not thorough

test-wheel: release
	rm -rf $(WHEEL) && mkdir -p $(WHEEL)
	tar -xzf dist/autodecoder-*.tar.gz --strip-components 1 -C $(WHEEL)
	rm -r $(WHEEL)/src
	$(BIN)/uv venv --quiet --python $(PYTHON_VERSION) $(WHEEL)/.venv
	$(BIN)/uv pip compile --quiet --python $(WHEEL)/.venv/bin/python --extra dev --only-binary :all: \
		--resolution $(RESOLUTION) --output-file $(WHEEL)/releases.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(WHEEL)/.venv/bin/python --only-binary :all: \
		--constraint $(WHEEL)/releases.txt "$$(ls dist/autodecoder-*.whl)[dev]"
	cd $(WHEEL) && { AUTODECODER_SKIP_NOTHING=1 .venv/bin/python -m pytest -m "$(MARK)" \
		--numprocesses 2 --junitxml tests.xml \
		$(if $(filter lowest%,$(RESOLUTION)),-W ignore::DeprecationWarning); echo $$? > status; }
	$(BIN)/python docs/make_reliability.py --tests $(WHEEL)/tests.xml \
		--python $(WHEEL)/.venv/bin/python --resolution $(RESOLUTION)
	@exit $$(cat $(WHEEL)/status)

test-oldest:
	$(MAKE) test-wheel PYTHON_VERSION=3.11 RESOLUTION=lowest-direct MARK="not slow"

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed
	$(BIN)/python benchmarks/step.py

# Guided by coverage where atheris has a wheel.
FUZZ ?= --inputs 1000000

# The faults take hours: TORTURE='--times 10 --only SIGKILL' takes some. Here and below, the page is
# also written of results that are not good enough.
torture: $(VENV)/installed-dev
	$(BIN)/python -m tests.torture $(TORTURE); status=$$?; \
		$(BIN)/python docs/make_reliability.py && exit $$status

# Takes more than an hour; MUTATION='--each 3 --only losses,adam' takes less.
mutation: $(VENV)/installed-dev | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear build/mutation
	$(BIN)/uv pip install --quiet --python build/mutation/bin/python $(MUTATE)
	$(BIN)/python -m tests.mutation $(MUTATION); status=$$?; \
		$(BIN)/python docs/make_reliability.py && exit $$status

coverage: $(VENV)/installed-dev
	@mkdir -p build
	$(BIN)/python -m pytest -m "not slow and not thorough" --numprocesses 2 \
		--cov --cov-report=json:build/coverage.json --cov-report=
	$(BIN)/python docs/make_reliability.py --coverage build/coverage.json

fuzz: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz.run --out benchmarks/reliability/fuzz.json $(FUZZ); status=$$?; \
		$(BIN)/python docs/make_reliability.py && exit $$status

docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build --quiet --fresh-env --nitpicky --fail-on-warning --keep-going \
		docs docs/_build/html
	AUTODECODER_SITE=docs/_build/html $(BIN)/python -m pytest tests/test_docs.py tests/test_site.py
	@echo "open docs/_build/html/index.html"

notebook: $(VENV)/installed-docs
	$(BIN)/jupytext --quiet --to ipynb --execute --output demo.ipynb examples/demo.py

reference: $(VENV)/installed
	$(BIN)/python docs/make_settings.py
	$(BIN)/python docs/make_cli.py

# The wheel is tried with Python's own packages alone, away from the checkout; dist/sbom.cdx.json lists
# the libraries that it then has, with their licences.
release: $(VENV)/installed-dev | $(BIN)/uv
	rm -rf dist build/release
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/uv venv --quiet build/release
	$(BIN)/uv pip install --quiet --python build/release/bin/python dist/autodecoder-*.whl
	cd build/release && PYTHONPATH= bin/autodecoder train --dataset digits --examples_frac 0.2 \
		--arch 16 --num_epochs 2 --lr 1e-2 --out study > log || { cat log; exit 1; }
	$(BIN)/uvx --quiet --from $(BOM) cyclonedx-py environment build/release/bin/python \
		--output-file dist/sbom.cdx.json
	@ls -l dist

# All libraries, with the releases of requirements.lock where it names them. One that is not in the
# database is a failure.
audit: | $(BIN)/uv
	@mkdir -p build
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --all-extras --constraint requirements.lock \
		--output-file build/audit.txt pyproject.toml
	$(BIN)/uvx --quiet --from $(AUDIT) pip-audit --strict --disable-pip \
		--requirement build/audit.txt

clean:
	rm -rf $(VENV) build dist runs/demo docs/_build

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one by: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/uv: | $(VENV)/bin/pip
	$(BIN)/pip install --quiet $(UV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[dev,docs]'
	@touch $@ $(VENV)/installed-dev $(VENV)/installed
