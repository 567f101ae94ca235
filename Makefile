# The two commands of the README, and what they stand on.
PYTHON ?= python3
STACK ?= openmmlab
BIN := $(if $(filter onedl,$(STACK)),.venv-onedl,.venv)/bin
DEMO := work_dirs/demo

.PHONY: setup demo test smoke lint docs clean-demo

setup:
	@$(PYTHON) tools/dev/setup_env.py --stack $(STACK) $(if $(ANY_PYTHON),--any-python)

demo: setup
	@$(BIN)/python tools/dev/demo.py

test: setup lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# A minute's part of the tests: imports and what they mend, tracing, a run of pruning.
smoke: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
	    tests/compat tests/training_mode tests/graph/test_tracing.py tests/pruning/test_runner.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

docs: setup
	@$(BIN)/python tools/dev/build_site.py

clean-demo:
	rm -rf $(DEMO)
