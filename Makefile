# Needs python3 (3.11 or newer) and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: setup demo test test-slow check bench lock clean

setup: $(READY)

# The lock holds hashes of all that is installed; it is read again only when it changed.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY)
	$(BIN)/criticality run examples/demo.toml --store demo/store
	$(BIN)/criticality phases demo/store
	$(BIN)/criticality figures demo/store --out demo/figures

test: $(READY)
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# PyTorch is what we are compared with; its CPU build is enough where there is no GPU.
bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.evaluate
	$(BIN)/python -m benchmarks.prune
	$(BIN)/python -m benchmarks.study
	$(BIN)/python -m benchmarks.scaling

# Only for maintainers: choose newer versions of everything.
lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes \
		--python-version 3.11 --no-annotate --no-header --no-emit-index-url \
		--constraint constraints.txt -o requirements.lock

clean:
	rm -rf $(VENV) demo
