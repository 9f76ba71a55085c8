# A machine with Python and make is enough: every target makes .venv and installs what
# it needs into it, once, until pyproject.toml or constraints.txt change.

PYTHON ?= python3
# Exact versions; with CONSTRAINTS=/dev/null a new .venv gets the newest packages.
CONSTRAINTS ?= constraints.txt
RUN := .venv/bin/python -m
# Two processes of one thread each: torch's own threads gain less on small tests.
# Each begins with half of them in their order, so that it makes what a file shares once.
PYTEST := OMP_NUM_THREADS=1 $(RUN) pytest -n 2 --dist worksteal

.NOTPARALLEL: # pip installs one thing at a time
.PHONY: help book links test check live reliability bench grid format clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

book: .venv/.book ## execute the notebooks, build the book: book/_build/html/index.html
	@.venv/bin/python book/build.py

links: .venv/.book ## every link of the book to elsewhere; after make book, needs a network
	@.venv/bin/jupyter-book build -q book/_stage --builder linkcheck --path-output book/_build/links

test: .venv/.dev ## style and quick tests, minutes
	@$(RUN) ruff format --check --output-format concise . && $(RUN) ruff check .
	@$(PYTEST)

check: .venv/.dev book ## slower tests: learning, building, the book in a browser
	@$(PYTEST) -m check -rs

live: .venv/.dev ## what is too slow to check each time: notebooks as Binder runs them, every export; hours, a network
	@$(RUN) pytest -m "slow and not claim" -rs

reliability: .venv/.dev ## every claim of the page Reliability, the long form: hours
	@$(PYTEST) -m claim -rs --claims=results/reliability

bench: .venv/.dev ## race ours against plain forms: results/benchmarks, half an hour
	@$(RUN) benchmarks

PROFILE ?= smoke
grid: .venv/.grid ## train and keep a set of runs: make grid PROFILE=phantoms RESULTS=runs/results
	@$(RUN) snakemake --configfile grid/$(PROFILE).yaml $(if $(RESULTS),--config results=$(RESULTS))

format: .venv/.dev ## mend style, strip outputs from notebooks
	@$(RUN) ruff check --fix . ; $(RUN) ruff format .
	@$(RUN) nbstripout --keep-id notebooks/*.ipynb

clean: ## remove what was generated, .venv too; runs/ stays
	rm -rf .venv book/_build book/_stage .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON): must be Python 3.11 or newer (found:" \
	    "$$($(PYTHON) --version 2>&1 | head -1)); name one: make PYTHON=python3.12 [python]" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { \
	  echo "error: .venv: must be created (found: see above);" \
	    "on Debian and Ubuntu: apt-get install python3-venv [venv]" >&2; exit 1; }
	@touch $@

# Names the constraints that .venv was filled by: with others pip runs again.
ifneq ($(CONSTRAINTS),$(shell cat .venv/.constraints 2>/dev/null))
.PHONY: .venv/.constraints
endif
.venv/.constraints: .venv/.python
	@echo "$(CONSTRAINTS)" > $@

.venv/.book: .venv/.constraints pyproject.toml $(CONSTRAINTS)
	@echo "installing into .venv what the book needs, minutes"
	@$(RUN) pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[book]'
	@touch $@

.venv/.grid: .venv/.constraints pyproject.toml $(CONSTRAINTS)
	@echo "installing into .venv what the grid needs, minutes"
	@$(RUN) pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[grid]'
	@touch $@

.venv/.dev: .venv/.constraints pyproject.toml $(CONSTRAINTS)
	@echo "installing into .venv what book, grid and tests need, minutes"
	@$(RUN) pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[all]'
	@touch $@ .venv/.book .venv/.grid
