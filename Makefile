# `make run` and `make test` set everything up themselves; PYTHON names the interpreter that .venv is made with.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: run test lint docs coverage bench fuzz sample baseline clean

# What it prints depends on no earlier trial.
run: $(READY)
	$(BIN)/backtest run --ledger none

test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, strictly: a warning is an error. Open site/index.html, or serve it by `mkdocs serve`.
docs: $(READY)
	$(BIN)/python -m mkdocs build --strict --quiet

# Twice: coverage sees nothing of compiled code, so the tests of the kernel's rules run it once more as plain Python.
coverage: $(READY)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --cov --cov-report= $(PYTEST)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --cov --cov-append $(addprefix tests/engine/test_,kernel_rules.py replay.py costs.py)

bench: $(READY)
	$(BIN)/python -m benchmarks

# Ten thousand hostile cases of every parser.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(FUZZ)

# After an edit of the sample's tables or of tools/sample.
sample: $(READY)
	$(BIN)/python -m tools.sample datasets/privacy-2025-sample

# After a change that is meant to move figures: review what it prints, and commit it.
baseline: $(READY)
	$(BIN)/backtest baseline record
	$(BIN)/backtest baseline record --folder baselines/levered -s random_entry -s funding_carry --placebo coins:999 -p weight=0.9 -p funding_carry.stop_loss=0.1 --set leverage=10 --set gross_cap=3 --set liquidation_fee=0.05
	$(BIN)/backtest baseline record --folder baselines/patient -s catalyst_momentum --placebo dates:999 -p hold=4350m -p trailing_stop=0.1 -p take_profit=0.1 --set reaction=50m --set max_wait=20m --set in_position=extend
	$(BIN)/backtest baseline record --folder baselines/tight -s influencer_fade --placebo calendar:199 -p stop_loss=0.005 -p take_profit=0.005 -p trailing_stop=0.004 --set stop_order=optimistic

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

clean:
	rm -rf site .site-figures .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist runs .coverage*
