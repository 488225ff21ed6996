# Everything a person does here. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

venv := .venv
bin := $(venv)/bin
# Debian's own build of Python runs this about 1.4 times as fast as a plain one (docs/performance.md).
new_enough := import sys; sys.exit(sys.version_info < (3, 11))
python := $(shell for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(new_enough)' 2>/dev/null && { command -v "$$p"; break; }; done)

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(venv)/made ## two real model servers, Byway, real traffic, one server killed on the way
	@$(bin)/python examples/demo.py

.PHONY: up
up: $(venv)/made ## the same, left running on 127.0.0.1:8080 until Ctrl-C
	@$(bin)/python examples/demo.py --stay

# Without column numbers in tracebacks: CPython before 3.11.5 fails in `ast.parse` when a traceback with them is
# printed in the middle of it, as happens to hypothesis when the garbage collector finds a task that failed.
.PHONY: test
test: check ## format, lint, types, then every test
	@SIM_SECONDS=$${SIM_SECONDS:-120} $(bin)/python -X no_debug_ranges tests/run.py

# On a person's machine the tests of a cluster are skipped, loudly, until `make kube` was run; here they must run.
ifeq ($(CI),true)
test: kube helm
endif

.PHONY: kube
kube: $(venv)/made ## a Kubernetes control plane for the tests, compiled once: about 4 minutes
	@$(bin)/python tests/cluster/plane/build.py

.PHONY: helm
helm: $(venv)/made ## helm for the tests of the chart, fetched once: 40 MB
	@$(bin)/python tests/builders/helm.py

.PHONY: e2e
e2e: helm ## walk the chart on the cluster that $KUBECONFIG names: about 2 minutes (docs/install.md)
	@test -n "$$KUBECONFIG" || { echo "say which cluster: KUBECONFIG=… make e2e"; exit 1; }
	@E2E=1 $(bin)/python -m pytest -v tests/e2e

.PHONY: check
check: $(venv)/made ## format, lint, types and who imports whom
	@echo "format"; $(bin)/ruff format --check --quiet . || { echo "run: $(bin)/ruff format ."; exit 1; }
	@echo "lint"; $(bin)/ruff check --quiet .
	@echo "types"; $(bin)/mypy
	@echo "imports"; $(bin)/lint-imports > $(venv)/imports.txt || { cat $(venv)/imports.txt; exit 1; }

.PHONY: catalog
catalog: $(venv)/made ## compile the catalogue of models and prices anew from its packages
	@$(bin)/python -m byway_operator.compile.catalogue.build

.PHONY: crds
crds: $(venv)/made ## make crds/ anew from the models of the resources, and the charts' copies of it
	@$(bin)/python -m byway_cli crds --into crds
	@$(bin)/python -m byway_cli crds --kustomize crds/kustomize
	@for chart in byway byway-crds; do cp crds/byway.dev_*.yaml charts/$$chart/files/crds/; done

.PHONY: bench
bench: $(venv)/made ## our speed on this machine
	@$(bin)/python -m bench

.PHONY: faults
faults: $(venv)/made ## sixteen faults of a provider, a thousand requests each: how many clients notice
	@$(bin)/python bench/faults.py

.PHONY: chaos
chaos: $(venv)/made ## KILLS=1000: kill every process under load, then compare the books: 30 kills a minute
	@$(bin)/python bench/chaos.py $(or $(KILLS),100)
	@$(bin)/python bench/overspend.py

# As `make sim SEEDS=20000`, or `make sim SEED=123` for one as a story.
.PHONY: sim
sim: $(venv)/made ## what money promises, in a world of its own where everything goes wrong: two minutes of seeds
	@cd tests && ../$(bin)/python -m sim.seeds $(if $(SEED),--seed $(SEED),$(if $(SEEDS),--seeds $(SEEDS),--seconds 120))

.PHONY: lock
lock: ## bring requirements.lock up to date with pyproject.toml
	@made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; \
	$(python) -m venv "$$made"; "$$made/bin/pip" install --quiet uv; \
	"$$made/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header \
		--generate-hashes --group dev --extra cli pyproject.toml -o requirements.lock; \
	sed -i '1i # Made by `make lock`. Every file of every package by its hash; where it is fetched from is not said here.' \
		requirements.lock

.PHONY: clean
clean: ## remove what was made here
	@rm -rf $(venv) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made once, and again when what it is made from has changed.
$(venv)/made: requirements.lock pyproject.toml
	@test -n "$(python)" || { echo "Byway wants Python 3.11 or newer; install python3 and run this again"; exit 1; }
	@$(python) -c 'import ensurepip' 2>/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing python3-venv"; \
			apt-get install --yes --quiet --quiet python3-venv >/dev/null; \
		else \
			echo "$(python) cannot make a virtual environment: install python3-venv (apt) or python3-pip, then again"; exit 1; \
		fi; }
	@echo "making $(venv) with $$($(python) --version) from requirements.lock"
	@$(python) -m venv --clear $(venv)
	@$(bin)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(bin)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
