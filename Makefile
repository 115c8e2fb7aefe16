# `make run` and `make test` set everything up themselves; PYTHON names the interpreter that .venv is made with.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# With what tests, checks and the site need on top; `make run` installs none of it.
DEVELOPMENT := .venv/ready-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test lint docs coverage bench fuzz sample baseline picture release clean

# What it prints depends on no earlier trial.
run: $(READY)
	$(BIN)/backtest run --ledger none

# A process of tests for every processor (`auto` is one for the two that a hosted machine makes of one core): threads of
# linear algebra on top would wait for each other.
test coverage: export OMP_NUM_THREADS = 1
test coverage: export OPENBLAS_NUM_THREADS = 1
# Hundreds of commands are started in processes of their own: the first one leaves them the bytecode.
test coverage: export PYTHONDONTWRITEBYTECODE =

test: $(DEVELOPMENT)
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder $(PYTEST)

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, strictly: a warning is an error. Open site/index.html, or serve it by `mkdocs serve`.
docs: $(DEVELOPMENT)
	$(BIN)/python -m mkdocs build --strict --quiet

# Twice: coverage sees nothing of compiled code, so the tests of the kernel's rules run it once more as plain Python.
coverage: $(DEVELOPMENT)
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder --cov --cov-report= $(PYTEST)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --cov --cov-append $(addprefix tests/engine/test_,kernel_rules.py replay.py costs.py)

bench: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks

# Ten thousand hostile cases of every parser.
fuzz: $(DEVELOPMENT)
	$(BIN)/python -m tests.fuzz $(FUZZ)

# Sdist, wheel and sbom.cdx.json, checked and tried out; nothing is uploaded. TAG=vX.Y.Z must be the version of the code.
release: $(DEVELOPMENT)
	$(BIN)/python -m tools.release $(TAG)

# After an edit of the sample's tables or of tools/sample.
sample: $(READY)
	$(BIN)/python -m tools.sample datasets/privacy-2025-sample

# After a change that is meant to move figures: review what it prints, and commit it.
baseline: $(READY)
	$(BIN)/backtest baseline record
	$(BIN)/backtest baseline record --folder baselines/levered -s random_entry -s funding_carry --placebo coins:999 -p weight=0.9 -p funding_carry.stop_loss=0.1 --set leverage=10 --set gross_cap=3 --set liquidation_fee=0.05
	$(BIN)/backtest baseline record --folder baselines/patient -s catalyst_momentum --placebo dates:999 -p hold=4350m -p trailing_stop=0.1 -p take_profit=0.1 --set reaction=50m --set max_wait=20m --set in_position=extend
	$(BIN)/backtest baseline record --folder baselines/tight -s influencer_fade --placebo calendar:199 -p stop_loss=0.005 -p take_profit=0.005 -p trailing_stop=0.004 --set stop_order=optimistic
	$(BIN)/python -m tools.picture

# What README shows of a run, drawn anew: after a change of what a run prints.
picture: $(DEVELOPMENT)
	$(BIN)/python -m tools.picture

# Nothing is installed whose hash is not in the lock, the build tools among it.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $(READY)

$(DEVELOPMENT): $(READY) requirements-dev.lock
	$(PIP) --require-hashes --requirement requirements-dev.lock
	touch $(DEVELOPMENT)

clean:
	rm -rf site .site-figures .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist sbom.cdx.json runs .coverage*
