# make figures: set up and rebuild all figures.  make test: set up and run all checks.  make check: the fast ones.  See README.md.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
SCALE ?= laptop

VENV := .venv
INSTALLED := $(VENV)/installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# Neighbouring tests share what they look at: a process has a block of tests, and takes from others when it is idle.
PARALLEL := -n $(CORES) --dist worksteal

.PHONY: figures test check lint format audit reference paper benchmark clean
.DEFAULT_GOAL := figures

$(INSTALLED): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --requirement requirements.txt
	python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

figures: $(INSTALLED)
	snakemake --cores $(CORES) --config scale=$(SCALE)

test: lint
	pytest $(PARALLEL)

# The fast half, for the time between commits.
check: lint
	pytest $(PARALLEL) -m "not slow"

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	snakefmt --no-sort --check Snakefile workflow
	snakemake --lint

format: $(INSTALLED)
	ruff check --fix .
	ruff format .
	snakefmt --no-sort Snakefile workflow

# Recomputes a random sample of the kept results, for about SECONDS=300; SEED=… repeats a choice.
audit: $(INSTALLED)
	luckmatters --scale $(SCALE) audit $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

# Keeps numbers in data/reference; only of a checkout that is as committed. SCALE=ci: makes them anew, with the tolerances
# of the regression test; say in the commit why they changed. Else: finished results, and what the documents say of them
# (SECONDS=…: how long the whole run took).
reference: $(INSTALLED)
ifeq ($(SCALE),ci)
	python maintenance/reference.py
else
	luckmatters --scale $(SCALE) reference $(if $(SECONDS),--seconds $(SECONDS))
	luckmatters --scale $(SCALE) findings
endif

# Computes what is not kept of the published settings, most worthwhile first, for MINUTES, and keeps what is finished.
# Started again, it goes on where it was.
paper: $(INSTALLED)
	python maintenance/paper.py --minutes $(or $(MINUTES),60) --cores $(CORES) --device $(or $(DEVICE),cpu)

# Speed against the usual loops and the machine's own rates; about six minutes on two idle cores.
benchmark: $(INSTALLED)
	python benchmarks/speed.py
	python benchmarks/speed_conv.py
	python benchmarks/speed_modulation.py
	python benchmarks/speed_fan_out.py
	python benchmarks/speed_masked.py

clean:
	rm -rf $(VENV) results figures/ci figures/laptop figures/paper .snakemake
