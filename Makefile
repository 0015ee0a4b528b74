# Every target sets up what it needs: Python 3.11 or newer with venv and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo test test-slow check format bench clean

help:
	@echo "make demo       train on real digits: search the learning rate, draw the pictures"
	@echo "make test       install what the tests need and run them"
	@echo "make test-slow  the longer tests, on MNIST, Fashion-MNIST and CIFAR where present"
	@echo "make check      lint and type-check"
	@echo "make format     rewrite the code as the linter wants it"
	@echo "make bench      time a training step beside the same step in PyTorch"
	@echo "make clean      remove the environment and the demonstration"

install: $(VENV)/installed

demo: $(VENV)/installed
	rm -rf runs/demo
	$(BIN)/python train.py --dataset digits --examples_frac 0 --num_epochs 100 \
		--executions_per_trial 2 --objective fresh_val_loss --seed 1 --out runs/demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed
	$(BIN)/python benchmarks/step.py

clean:
	rm -rf $(VENV) runs/demo

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one by: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/installed
