# Two commands do all the set-up: `make demo` and `make test`. Everything lives in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# Pinned versions, so that every machine and every day gets the same environment, the one that
# builds the kernel included (older pips read the first variable there, newer ones the second).
PIP     = PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
          $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test test-without-kernel test-dask test-jax test-keras test-browser \
        test-dist test-cuda test-all coverage lint format \
        docs kernel bench zoo report runtimes jobs clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

# The base install: inverting needs no torch. Each installation builds the kernel (two minutes of one
# core), so neither comes first for the other.
$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]'
	touch $(VENV)/.base $@

demo: $(VENV)/.base ## invert 10,000 unseen 3x3 matrices with the bundled model
	PATH="$(abspath $(BIN)):$$PATH" bash jobs/demo.x

test: $(VENV)/.dev ## everything the tests need, then the tests (at most 10 minutes)
	$(BIN)/python -m pytest -n 2

WITHOUT = tests/test_functions_*.py tests/test_inverter*.py tests/test_linalg_*.py tests/test_trust.py \
          tests/test_numpy_suite.py tests/test_cli_certificates.py tests/test_kernel*.py \
          tests/test_spectral*.py

test-without-kernel: $(VENV)/.dev ## what touches the kernel, where there is none
	DMX_WITHOUT_KERNEL=1 DMX_REQUIRE_KERNEL=0 $(BIN)/python -m pytest -n 2 $(WITHOUT)

test-dask: $(VENV)/.dev ## Dask on a cluster of this machine, xarray, pandas and Zarr
	$(BIN)/python -m pytest -m 'dask and not slow'

test-jax: $(VENV)/.dev ## JAX, on one and on eight virtual devices
	$(BIN)/python -m pytest -m 'jax and not slow'

# Where there is an NVIDIA device, and PyTorch for it: the default tests run the same source here.
test-cuda: $(VENV)/.dev ## the kernel for NVIDIA devices, on one
	$(PIP) -e '.[cuda]'
	$(BIN)/python -m pytest -m cuda tests/test_torch_cuda.py

# Keras and TensorFlow have an environment of their own: they only make what is then read.
KERAS = build/keras
test-keras: $(VENV)/.dev ## networks that Keras 2 and 3 write, of the published size
	test -x $(KERAS)/bin/python || $(PYTHON) -m venv $(KERAS)
	$(KERAS)/bin/python -m pip install --quiet 'keras==3.15.1' 'tensorflow-cpu==2.21.0' 'tf_keras==2.21.0'
	DMX_KERAS=$(abspath $(KERAS))/bin/python $(BIN)/python -m pytest -m keras

test-all: $(VENV)/.dev ## the long checks as well
	$(BIN)/python -m pytest -n 2 -m 'not browser and not dist and not cuda and not keras'

coverage: $(VENV)/.dev ## the default tests, and which lines they run (with a floor; twice the time)
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term

lint: $(VENV)/.dev ## ruff and pyright, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Examples run, warnings are errors, links within the site are followed. Scripts that pages load come
# from npm, pinned, so that reading the site asks nobody.
SITE = build/site
docs: $(VENV)/.dev ## build the site into build/site (about 2 minutes)
	rm -rf $(SITE) docs/reference/generated
	$(BIN)/sphinx-build -q -W --keep-going -d build/doctrees docs $(SITE)
	$(BIN)/python docs/vendor.py $(SITE)/_static
	$(BIN)/python docs/links.py $(SITE)

# Chromium is the system's: where it is missing, this fails.
test-browser: $(VENV)/.dev ## the built site in headless Chromium, playground and search
	test -f $(SITE)/playground.html || $(MAKE) docs
	$(BIN)/python -m pytest -m browser tests/test_browser.py

test-dist: $(VENV)/.dev ## build wheel and sdist, install and try them (about 3 minutes)
	PIP_CONSTRAINT=$(abspath constraints.txt) PIP_BUILD_CONSTRAINT=$(abspath constraints.txt) \
	$(BIN)/python -m pytest -m dist tests/test_dist.py

# An editable installation has built it already; this is for after a change to src/kernel.
kernel: $(VENV)/.dev ## build the compiled kernel of this tree again, beside its Python sources
	cmake -S src/kernel -B build/kernel -DCMAKE_BUILD_TYPE=Release -DDMX_IN_PLACE=ON \
	      -DPython_EXECUTABLE=$(abspath $(BIN))/python
	cmake --build build/kernel --parallel 2

bench: $(VENV)/.dev ## time small matrices beside NumPy, and keep the times (about 2 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 0 benchmarks/bench_small.py \
	  --benchmark-autosave --benchmark-storage=file://build/benchmarks --benchmark-max-time=0.3 \
	  --benchmark-columns=min,median,rounds --benchmark-sort=name

# The bundled models, from their recipes in jobs/*.toml.
MODELS = $(basename $(notdir $(wildcard jobs/*.toml)))

zoo: $(VENV)/.dev ## train every bundled model again and put it in its place (about 25 minutes)
	for model in $(MODELS); do PATH="$(abspath $(BIN)):$$PATH" bash jobs/bundle.x $$model || exit; done

report: $(VENV)/.dev ## measure the accuracy report again (about 20 minutes)
	$(BIN)/python benchmarks/accuracy.py

# Each runtime gets an environment of its own in build/runtimes (6 GB in all). Chromium, Node.js
# and clang come from the system: where one is missing, its rows of the table say so.
runtimes: $(VENV)/.dev ## run exported files in other runtimes (about 20 minutes)
	$(BIN)/python benchmarks/runtimes.py --install
	$(BIN)/python -m pytest -m runtimes tests/test_runtimes.py
	$(BIN)/python benchmarks/runtimes.py --markdown docs/runtimes.md

jobs: $(VENV)/.dev ## the whole cycle: train, evaluate, extrapolate, singular matrices
	PATH="$(abspath $(BIN)):$$PATH" bash jobs/run.x

clean: ## remove what make has made
	rm -rf $(VENV) demo runs jobs/work build dist .pytest_cache .ruff_cache
	rm -rf docs/gallery docs/reference/generated docs/reference/commands.md docs/sg_execution_times.rst
	rm -rf src/kernel/CMakeFiles src/kernel/CMakeCache.txt src/kernel/.cmake src/deepmatrixinversion/kernel/*.so
