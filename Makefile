# Everything that a person or CI runs. Each target is enough alone: it makes .venv first when that is missing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := demo,static,sentence,audit,fairness,explain,ray,track,tune
# One thread a test process: two processes with two threads each are slower on two cores.
TEST_WORKERS ?= 2
FUZZ_SECONDS ?= 120
# A dependency group of pyproject.toml as words: pip older than 25.1 cannot read groups itself.
group = $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['$(1)'])")

.PHONY: setup test test-long demo lint check bench fuzz clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]' $(call group,dev)
	touch $@

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS)

test-long: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) -m "" --hypothesis-profile=long --timeout=7200

demo: $(STAMP)
	$(BIN)/tenor demo --out demo-out

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

# The scripts of the speed claims; what they print ends up in bench-out/results.txt, the table of claims in claims.md.
# Others (memory, growth, gpu, ...) are run by themselves.
BENCHMARKS := training scoring batches importing encoding profiles bootstrap startup
bench: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt $(call group,bench)
	mkdir -p bench-out
	@for script in $(BENCHMARKS); do \
		echo "== $$script"; \
		$(BIN)/python benchmarks/$$script.py | tee bench-out/$$script.md; \
	done
	@cd bench-out && cat $(BENCHMARKS:=.md) > results.txt && { printf '%s\n' '| claim | goal | measured | met |' \
		'| --- | ---: | ---: | ---: |'; grep -hE '[|] (yes|[*]{2}no[*]{2}) [|]$$' $(BENCHMARKS:=.md); } | tee claims.md
	@echo "written: bench-out/results.txt, bench-out/claims.md"

fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt $(call group,fuzz)
	@for target in fuzz/fuzz_*.py; do \
		echo "== $$target"; \
		$(BIN)/python $$target -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096; \
	done

clean:
	rm -rf build dist demo-out bench-out .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	rm -f $(STAMP)
