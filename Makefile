# Everything that is run here, by people and by CI. Needs make (3.81 or later), a POSIX shell and Python 3.10 or newer.
# Another Python: make demo PYTHON=python3.12

PYTHON  =
BIN     = .venv/bin
FOLDERS = probes fingerprinting clients data
SETUP   = pyproject.toml constraints.txt

# pip only speaks up when it fails: one line of ours says what takes the time.
export PIP_DISABLE_PIP_VERSION_CHECK = 1
PIP = $(BIN)/python -m pip install -qq --constraint constraints.txt

.PHONY: help demo test test-servers dev check lint types docs dist sbom bench clean
.DELETE_ON_ERROR:

help: ## list these targets
	@echo "make TARGET, where TARGET is"
	@awk -F ': .*## |: ## ' '/^[a-z]+:.*## / { printf "  %-6s %s\n", $$1, $$2 }' Makefile

demo: .venv/.demo-stamp ## set up what the program needs, then find a stolen model; writes demo-report.html
	@$(BIN)/probe-match demo --html demo-report.html

test: dev ## set up everything, then run the whole test suite
	@-PYTHONPATH=tests $(BIN)/python -m peers.prepare
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-servers: dev ## test against a dozen real model servers; the first time it installs them (10 GB)
	@$(BIN)/python -m pytest -m 'servers or not servers' -rs tests/test_peers.py tests/test_gateways.py \
	  tests/test_text_peers.py tests/test_transformers_serve.py
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.servers --output benchmarks/servers.json

dev: .venv/.dev-stamp .links/probe_match ## set up everything to work on the project

check: lint types docs ## what CI runs: format, lint, types, documentation and the whole test suite, the wheel's included
	@$(MAKE) --no-print-directory test

lint: dev ## format and lint, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: dev ## check the types of the product
	@$(BIN)/mypy

docs: dev ## build the guides and the reference into build/docs; a warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

dist: dev ## build the source archive, and from it the wheel, of what is committed; the same bytes for everybody
	@rm -rf dist build/checkout && mkdir -p dist build/checkout
	@git archive HEAD | tar -x -C build/checkout
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation --outdir dist build/checkout >build/dist.log
	@cd dist && sha256sum *

sbom: dist ## write dist/sbom.cdx.json, a validated CycloneDX list of all that the wheel brings with it
	@rm -rf build/sbom && $(BIN)/python -m venv build/sbom && build/sbom/bin/python -m pip install -qq dist/*.whl
	@build/sbom/bin/python -m pip uninstall -qqy setuptools pip
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/cyclonedx-py environment build/sbom --pyproject pyproject.toml \
	  --mc-type library --output-reproducible --validate -o dist/sbom.cdx.json
	@echo "dist/sbom.cdx.json"

bench: dev ## measure the main job: seeds 0 to 19, start-up, 1,000 references (about ten minutes)
	@$(BIN)/python benchmarks/main_job.py --output benchmarks/main_job.json

clean: ## remove everything that was made here
	rm -rf .venv .links .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.demo-stamp: $(SETUP) | $(BIN)/python
	@echo "Installing probe-match and its packages into .venv (once, about a minute)"
	@$(PIP) --editable .
	@touch $@

# The full environment serves the demo too, hence both stamps.
.venv/.dev-stamp: $(SETUP) | $(BIN)/python
	@echo "Installing probe-match, torch and the development tools into .venv (once, some minutes)"
	@$(PIP) --editable '.[dev]'
	@touch .venv/.demo-stamp $@

# --clear: what an interrupted setup left behind is not built upon.
$(BIN)/python:
	@for python in $(if $(PYTHON),'$(PYTHON)',python3 python3.13 python3.12 python3.11 python3.10 python3.14 python); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then \
	    echo "Making .venv with $$("$$python" --version)"; \
	    exec "$$python" -m venv --clear .venv; \
	  fi; \
	done; \
	echo "expected Python 3.10 or newer with its venv module, found none; install it (Debian and Ubuntu: the package" \
	  "python3-venv too) or name one: make PYTHON=/path/to/python3" >&2; \
	exit 1

# Type checkers and editors see the folders under the name they are imported by; nothing else needs this.
.links/probe_match:
	@mkdir -p $@
	@for folder in $(FOLDERS); do ln -sfn ../../$$folder $@/$$folder; done
