# `make run` and `make test` set everything up themselves; PYTHON names the interpreter that .venv is made with.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: run test lint bench fuzz sample baseline clean

run: $(READY)
	$(BIN)/backtest run

test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

# Ten thousand hostile cases of every parser.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(FUZZ)

# After an edit of the sample's anchors.toml.
sample: $(READY)
	$(BIN)/python -m backtest.market.synthetic datasets/privacy-2025-sample

# After a change that is meant to move figures: review what it prints, and commit it.
baseline: $(READY)
	$(BIN)/backtest baseline record

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist runs
