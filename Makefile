# One entry for everything. Each target sets up what it needs; a second run reuses it.
#   make lab     JupyterLab on the quickstart (LAB_ARGS="--no-browser --port 9999" passes flags through)
#   make test    lint, types, Python, TypeScript, browser, notebooks
#   make quick   the Python tests that take under a minute
#   make lint    formatting, lint and types          make fix     what can be mended by itself
#   make bench   the speed claims, as ratios         make wheel   the wheel, ready to install without node

PYTHON ?= python3
NOTEBOOK ?= notebooks/00-quickstart.ipynb
LAB_ARGS ?=
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
BIN := .venv/bin
BENCH := build/bench
INSTALL := python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt
PIP := $(BIN)/$(INSTALL)
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix js --silent
# Two workers with torch's default threads ran ten times slower than with one thread each.
RUN := OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 $(BIN)/python -m
# `make quick` promises a minute on a free machine; on any it is stopped after five, where there is a `timeout`.
LIMIT := $(if $(shell command -v timeout),timeout --kill-after=10 300)
TS := $(shell find js/src js/style js/schema -type f 2>/dev/null)

.PHONY: lab test quick lint fix types bench wheel browser notebooks js clean

lab: build/.built
	$(BIN)/jupyter lab $(ROOT) --LabApp.default_url=/lab/tree/$(NOTEBOOK) $(LAB_ARGS)

test: build/.built
	@$(MAKE) --no-print-directory lint
	$(RUN) pytest -q -n 2 -m "not browser and not notebook"
	$(RUN) benchmarks.imports
	$(NPM) test
	@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory notebooks

quick: build/.built
	$(LIMIT) env $(RUN) pytest -q -n 2 -m "not browser and not notebook and not slow"

browser: build/.built
	EFFWIDGETS_BROWSER="$$(.ci/chromium)" && export EFFWIDGETS_BROWSER && $(RUN) pytest -q -m browser

notebooks: build/.built
	$(RUN) pytest -q -n 2 -m notebook

lint: build/.built
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(NPM) run lint
	$(NPM) run typecheck

fix: build/.built
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(NPM) run fix

bench: build/.bench
	for program in benchmarks/[!_]*.py; do OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 $(BENCH)/bin/python -m "benchmarks.$$(basename $$program .py)" || exit 1; done

wheel: build/.js
	rm -rf dist
	HATCH_JUPYTER_BUILDER_SKIP_NPM=1 $(BIN)/python -m build --wheel

clean:
	rm -rf build dist js/lib effwidgets/static effwidgets/labextension

# The environment, the front end, and both joined: each made again only when what it is made of changed.
build/.environment: pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "effwidgets needs Python 3.11 or newer; PYTHON=/path/to/python3.11 make ... names one."; exit 1; }
	@command -v npm >/dev/null || { echo "effwidgets needs node 20 or newer, with npm, to build its front end."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	@rm -f effwidgets/labextension/install.json  # linked into the environment, where pip means to write it anew
	SKIP_JUPYTER_BUILDER=1 $(PIP) --editable '.[lab,test,dask,dev]'
	@mkdir -p build && touch $@

# The other counters come with the benchmarks alone: one of them brings a package that transformers would notice. They
# have an environment of their own, which sees what is in .venv; that one stays what the tests know.
build/.bench: build/.built pyproject.toml
	$(BIN)/python -m venv --clear --without-pip $(BENCH)
	$(BENCH)/bin/python -c 'import sys, sysconfig; open(sysconfig.get_path("purelib") + "/lab.pth", "w").write(f"import site; site.addsitedir({sys.argv[1]!r})\n")' "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' >build/bench.txt
	$(BENCH)/bin/$(INSTALL) --requirement build/bench.txt
	@touch $@

build/.npm: js/package.json js/package-lock.json js/.npmrc build/.environment
	$(NPM) ci
	@mkdir -p build && touch $@

build/.js: build/.npm $(TS) js/esbuild.mjs js/tsconfig.json
	$(NPM) run build
	@touch $@

build/.built: build/.environment build/.js
	$(BIN)/jupyter-builder develop --overwrite . >/dev/null
	@touch $@
