# Needs Python >= 3.11 and make; everything else is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO_MODEL := qwen2.5-coder-1.5b-instruct-q4_k_m
TEST_MODEL := qwen2.5-coder-0.5b-instruct-q4_k_m
EMBEDDER   := all-minilm-l6-v2
TEST_HOME  := $(CURDIR)/.phronesis
# TORCH_INDEX=... takes torch from another index, for example PyTorch's CPU one.
TORCH_INDEX ?=

export PYTHONSAFEPATH = 1
export LANGSMITH_TRACING = false

.DEFAULT_GOAL := help
.PHONY: help run test check format bench soak docs clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/created:
	@echo "== creating $(VENV)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/torch: $(VENV)/created constraints.txt
	@echo "== installing torch (for the embedder)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@touch $@

$(VENV)/local: $(VENV)/torch pyproject.toml constraints.txt
	@echo "== installing phronesis[local]"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[local]'
	@touch $@

$(VENV)/dev: $(VENV)/local
	@echo "== installing phronesis[dev]"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(VENV)/local  ## Solve three problems with MAgICoRe and memory on the embedded model
	@$(BIN)/phronesis models pull $(EMBEDDER)
	@$(BIN)/phronesis models pull $(DEMO_MODEL)
	$(BIN)/phronesis run demo --dataset recipes/demo.jsonl

test: $(VENV)/dev  ## Run the whole suite, the live test on the 0.5B model included
	@PHRONESIS_HOME=$(TEST_HOME) $(BIN)/phronesis models pull $(EMBEDDER)
	@PHRONESIS_HOME=$(TEST_HOME) $(BIN)/phronesis models pull $(TEST_MODEL)
	PHRONESIS_HOME=$(TEST_HOME) $(BIN)/pytest -m "not soak"

check: $(VENV)/dev  ## Format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev  ## Format and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev  ## Measure docs/performance.md again, beside our peers (about twenty minutes)
	env -u PYTHONSAFEPATH $(BIN)/python benchmarks/imports.py --save
	env -u PYTHONSAFEPATH $(BIN)/python benchmarks/overhead.py --save
	env -u PYTHONSAFEPATH $(BIN)/python benchmarks/memory.py --save
	env -u PYTHONSAFEPATH $(BIN)/python benchmarks/runner.py --save
	env -u PYTHONSAFEPATH $(BIN)/python benchmarks/tables.py

soak: $(VENV)/dev  ## The long checks: many kills, many seeds
	PHRONESIS_HOME=$(TEST_HOME) $(BIN)/pytest -m soak --timeout=3600

docs: $(VENV)/dev  ## Draw the graphs in docs/ again from the code
	$(BIN)/python docs/draw.py

clean:  ## Remove what the other targets made, the pulled test models included
	rm -rf $(VENV) .phronesis benchmarks/.peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
