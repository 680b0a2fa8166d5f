# Two commands do the work: `make demo` and `make test`. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt
# A real X server of 24 bits with software OpenGL, where there is no screen; elsewhere than on Linux the screen itself.
ON_LINUX := $(filter Linux,$(shell uname -s))
SOFTWARE_GL := $(if $(ON_LINUX),env LIBGL_ALWAYS_SOFTWARE=1 QT_QPA_PLATFORM=xcb,env)
SCREEN := $(if $(ON_LINUX),xvfb-run -a -s "-screen 0 1920x1080x24") $(SOFTWARE_GL)
DEMO_GENE ?= ERBB2
DEMO_SECONDS ?= 60

.PHONY: help demo test install install-test lint bench screenshots tree clean

help:  ## this list
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## /  make \1\t/' | expand -t 22

demo: .venv/installed  ## impute a gene of the embedded sample slide; needs no screen
	.venv/bin/s2sst demo demo/slide
	.venv/bin/s2sst impute demo/slide --gene $(DEMO_GENE) --preset fast --seconds $(DEMO_SECONDS) --out demo/result

test: .venv/installed-test  ## run every test in two processes, those of the window on a virtual screen each
	@bash tests/system_packages.sh
	$(SOFTWARE_GL) OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadfile

install: .venv/installed  ## only make the virtual environment

.venv/bin/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "Making .venv with $$python ($$($$python --version))"; \
	    "$$python" -m venv .venv && exit 0; \
	    rm -rf .venv; \
	    echo "$$python can't make a virtual environment: install its venv package (on Debian: python3-venv)." >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "Python 3.11 or newer is needed, and none was found as python3 or python3.11 to python3.14." >&2; exit 1

# PyTorch first and pinned, so that what follows takes it as it is instead of a newer one with GPU packages.
.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing PyTorch and the other packages into .venv (some minutes the first time)"
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(PIP) --editable '.[test]'
	@touch $@

lint: .venv/installed  ## check the code's style
	@$(PIP) --editable '.[dev]'
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

bench: .venv/installed-test  ## measure speed, accuracy and responsiveness
	@bash tests/system_packages.sh
	@for file in benchmarks/window.py benchmarks/accuracy.py; do echo "== $$file"; $(SCREEN) $(PYTHON) "$$file"; done

tree: .venv/installed  ## write the tree of the packages into CONTRIBUTING.md
	$(PYTHON) docs/make_tree.py

screenshots: .venv/installed-test  ## make the pictures of the README from the sample slide
	@bash tests/system_packages.sh
	$(SCREEN) $(PYTHON) docs/make_screenshots.py

clean:  ## remove the virtual environment, the demo and everything else that was made here
	rm -rf .venv demo build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
