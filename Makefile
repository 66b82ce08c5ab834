# Every target sets up .venv first, so that one command is enough on a fresh machine with Python 3.11
# and make. PYTHON=... chooses the interpreter, VENV=... the place.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# Three workers for two cores: most integration tests wait for processes, and each takes one core at
# times. They come first, as their files are the longest; pytest-xdist would have those of few tests last.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
# Experiments on real processes that together hurt everything: networks, nodes, leaders, requests, the disk.
CHAOS_ARGS ?= zone-outage leader-frozen apiserver-upgrade lost-answers full-disk one-identity everything
# Where bytecode is not written, each of the hundreds of processes that tests start compiles all anew.
unexport PYTHONDONTWRITEBYTECODE
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

.PHONY: install test demo chaos lint docs format bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints-dev.txt scripts/make_venv.sh
	@scripts/make_venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(STAMP)
	@$(BIN)/kubeherd demo

test: $(STAMP)
	@$(BIN)/python scripts/get_kubectl.py || echo "tests that need kubectl will be skipped"
	@$(BIN)/python scripts/get_test_clients.py
	$(BIN)/python -m pytest $(PYTEST_ARGS)

chaos: $(STAMP)
	$(BIN)/kubeherd chaos run $(CHAOS_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/mkdocs --quiet build --strict

format: $(STAMP)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/kubeherd bench $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
