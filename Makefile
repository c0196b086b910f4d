# The only entry point: `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
CODE := services libs cli deploy demo tests tools
CACHES := .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# Else each of the hundred processes of a run of the tests would compile all that it imports of ours.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup runtime demo up down status test test-slow test-kill test-scale mutants bench \
	test-demo test-faults test-fuzz test-stories bench-ingest fuzz vectors sdk test-sdk deploy-check lint format \
	proto lock released clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what developing needs into .venv (again only when the locks change)
	@tools/install.sh dev

runtime:
	@tools/install.sh runtime

demo: runtime ## start the suite and watch four stories become invoices
	@$(BIN)/tally demo $(ARGS)

up: runtime ## run PostgreSQL, NATS and the four services in the foreground; Ctrl-C stops them
	@$(BIN)/tally up $(ARGS)

down: runtime ## stop a running suite
	@$(BIN)/tally down $(ARGS)

status: runtime ## show what runs
	@$(BIN)/tally status $(ARGS)

test: setup ## run every test but the slow ones and those of make lint, on a real PostgreSQL and NATS
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --ignore=tests/slow --ignore=tests/tidy $(ARGS)

test-slow: test-demo test-kill test-scale test-faults test-fuzz test-stories test-sdk deploy-check ## all slow tests: demo, kills, faults, stories, SDKs, …

test-demo: setup ## run the demo and compare every line with the oracle; follow the README
	@$(BIN)/python -m pytest -q tests/slow/demo $(ARGS)

test-kill: setup ## kill each process under load and compare: ROUNDS=3 of each, SEED=random
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),3) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m pytest -q tests/slow/kill

test-scale: setup ## run several processes of ingest and rating, and all orders of services: the same totals
	@$(BIN)/python -m pytest -q tests/slow/scale $(ARGS)

test-faults: setup ## full and slow disks, which are mounted: needs root or namespaces of users
	@$(BIN)/python -m tests.slow.faults $(ARGS)

test-fuzz: setup ## send bytes and made-up messages to every RPC: always the same ones
	@$(BIN)/python -m pytest -q tests/slow/fuzz $(ARGS)

test-stories: setup ## play the stories of other billing systems on a suite
	@$(BIN)/python -m pytest -q tests/slow/stories $(ARGS)

mutants: setup ## plant one-line faults; each must turn the tests red
	@$(BIN)/python -m tests.mutants $(ARGS)

fuzz: setup ## the same with other messages, for longer: SECONDS=300, SEED=random
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),300) $(if $(SEED),--seed $(SEED))

vectors: setup ## run the cases of other billing systems: TOPICS="folders or files", VECTORS_DIR=path
	@$(BIN)/python -m tests.vectors $(if $(VECTORS_DIR),--dir "$(VECTORS_DIR)") $(TOPICS)

bench: setup ## measure speed and memory into build/bench.json
	@$(BIN)/python -m tests.bench $(ARGS)

bench-ingest: setup ## measure ingest alone, and with 10 million events stored: build/bench-ingest.json
	@$(BIN)/python -m tests.bench.ingest $(ARGS)

sdk: setup ## build the Python and TypeScript clients into build/sdk
	@$(BIN)/python tools/sdk.py

test-sdk: sdk ## run one conformance suite with both clients (needs Node 20)
	@$(BIN)/python -m pytest -q tests/slow/sdk $(ARGS)

deploy-check: setup ## check the image's recipe, the manifests, the installed wheel and `tally up`
	@$(BIN)/python -m pytest -q tests/slow/deploy $(ARGS)

lint: setup ## judge style, types, imports, contracts and the rules of the house
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy --no-error-summary $(CODE)
	PYTHONPATH=.:libs/gen $(BIN)/lint-imports --no-logo
	$(BIN)/buf lint
	$(BIN)/buf breaking --against proto/released.binpb
	$(BIN)/python tools/generate.py --check
	$(BIN)/python -m pytest -q -p no:xdist tests/tidy

format: setup ## rewrite Python and proto files in the one style
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write

proto: setup ## make libs/gen from proto/
	@$(BIN)/python tools/generate.py

# The dev lock is made under the runtime lock's constraint: what is tested is what runs.
LOCK := UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

lock: setup ## resolve the dependencies of pyproject.toml anew into both locks
	@$(LOCK) --upgrade pyproject.toml --extra embedded -o requirements.lock
	@$(LOCK) --upgrade pyproject.toml --extra embedded --extra parquet --extra dev \
		-c requirements.lock -o requirements-dev.lock

# `make lint` compares the contracts with this file. Compared with anything that moves with the
# branch, a breaking change could never be seen; so it is made anew only when a release is made.
released: setup ## at a release only: take the contracts of now as what must not break
	@$(BIN)/buf build --exclude-source-info -o proto/released.binpb

clean: ## stop a running suite, remove its data, what was built and every cache
	@if [ -d .tally ] && [ -x $(BIN)/tally ]; then $(BIN)/tally down; fi
	@rm -rf .tally build $(CACHES)
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
