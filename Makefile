# make demo: see it work. make test: prove it. Both prepare everything they need in .venv.
.PHONY: demo test check bench real soak requirements lock format clean
BIN := .venv/bin

demo:
	@scripts/environment run
	@$(BIN)/isthmus demo

# On two processes: they mostly wait. ARGS="-n0 tests/kit" for one.
test:
	@scripts/environment dev
	@$(BIN)/pytest -n2 $(ARGS)

check:
	@scripts/environment dev
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/house

real:
	@scripts/environment dev
	@$(BIN)/python -m tests.real

# The full matrix of faults, those that are tests, and the conformance suites against sound and broken agents: hours. ARGS="--help".
soak:
	@scripts/environment dev
	@$(BIN)/python -m tests.soak $(ARGS)

bench:
	@scripts/environment dev
	@$(BIN)/python -m bench $(ARGS)

format:
	@scripts/environment dev
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# The table of upstream requirements and the tests that prove them.
requirements:
	@scripts/environment dev
	@$(BIN)/pytest -q --requirements || test $$? = 5

# Needs uv.
lock:
	for kind in run dev real; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --custom-compile-command "make lock" requirements/$$kind.in -o requirements/$$kind.txt; \
	done

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
