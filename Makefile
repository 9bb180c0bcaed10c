# Everything runs in .venv, made by `make install`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install up test lint types unit bench oracle try-machine try-vm clean

install: .venv/.installed

.venv/.installed: pyproject.toml reconciler/kinds/schema/build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "the venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

up: install
	$(BIN)/reconciler up examples/cluster-repo

test: install
	$(BIN)/ruff check reconciler tests
	$(BIN)/ruff format --check reconciler tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: install
	$(BIN)/python -m tests.bench

oracle: install
	$(BIN)/python -m tests.oracle

# A machine with systemd and the units: a container of systemd-nspawn, or a virtual one under qemu with Debian's kernel
# and control groups of version 2. Both need root and debootstrap, and keep Debian's tree below build/.
try-machine: install
	$(BIN)/python -m tests.machine build/machine nspawn

try-vm: install
	$(BIN)/python -m tests.machine build/vm qemu

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
