# Needs python3 (3.11 or newer) and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: setup demo docs browser test test-slow torch-test wheel-test check bench lock clean

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
	$(BIN)/criticality report demo/store -o demo/report.html

# The site; scripts of its gallery are run.  A warning or a broken link is an error.
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# A Chromium, in which the tests open the report: one that is there, else Debian's, else Playwright's.
# Without any they are skipped, and say so.
browser: $(READY)
	@$(BIN)/python -m tests.browser || { test "$$(id -u)" = 0 && command -v apt-get && apt-get update \
		&& DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
			chromium fonts-dejavu-core; } \
		|| $(BIN)/playwright install chromium || echo "No browser could be installed."

test: $(READY) browser
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-slow: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m slow

# PyTorch is too large for the lock: what needs it is skipped wherever it is missing, but here.
torch-test: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/python -m pytest tests/test_docs.py -k pytorch

# What a user gets: the wheel and what it declares, in the versions of the lock, far from the sources.
wheel-test: $(READY)
	set -eu; there=$$(mktemp -d); trap 'rm -rf "$$there"' EXIT; \
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--wheel-dir "$$there" .; \
	grep -v -e --hash= requirements.lock | tr -d '\\' > "$$there/versions.txt"; \
	cp examples/demo.toml "$$there"; \
	$(PYTHON) -m venv "$$there/venv"; \
	cd "$$there"; unset PYTHONPATH PYTHONDONTWRITEBYTECODE; PATH="$$there/venv/bin:$$PATH"; \
	python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint versions.txt ./*.whl; \
	python -c 'import criticality, sys; assert criticality.__file__.startswith(sys.prefix)'; \
	criticality list; \
	criticality run demo.toml --store store --set dataset=synthetic --set n_validation=100 \
		--set realizations=3 --set width=12 --set max_epochs=5 --set p_eval='[0.0, 0.5]' \
		--set p_train='[0.0, 0.5]' --set n_train='[100, 200, 400]'; \
	criticality figures store --out figures; \
	test -s figures/phase_diagram.png

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
	$(BIN)/python -m benchmarks.sample
	$(BIN)/python -m benchmarks.grok
	$(BIN)/python -m benchmarks.calibrate
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.overhead

# Only for maintainers: choose newer versions of everything.
lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes \
		--python-version 3.11 --no-annotate --no-header --no-emit-index-url \
		--constraint constraints.txt -o requirements.lock

clean:
	rm -rf $(VENV) demo
