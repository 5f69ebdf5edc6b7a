# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Tags that `make lab` leaves out, for example SKIP=app.
export SKIP ?=

# Anything but 0, no and false: the lab has a real Kubernetes, too. The first time, it is built for a quarter of an hour.
export KUBERNETES ?=

.PHONY: help setup lab lab-down lab-status lab-logs test lint unit molecule mutations e2e rehearse bench docs ee lock

help:  ## List the commands
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup:  ## Virtual environment for deploying to AWS (no lab)
	@bin/setup

lab:  ## From nothing to a Django page on this machine: installs what is missing, starts the lab, runs site.yml
	@bin/lab

lab-down:  ## Remove the lab: containers, networks, processes, files (caches stay)
	@[ -x .venv/bin/python ] || bin/setup
	@python -m lab down

lab-status:  ## What runs in the lab
	@python -m lab status

lab-logs:  ## Logs of the lab's parts (PART=instances for one)
	@python -m lab logs $(PART)

test:  ## All tests: lint, unit, every role alone, end to end in the lab
	@bin/setup lab && python -m pytest tests/lint tests/unit tests/e2e tests/molecule

lint:  ## yamllint, ansible-lint, ruff, shellcheck
	@bin/setup lab && python -m pytest tests/lint

unit:  ## Unit tests
	@bin/setup && python -m pytest tests/unit

# Roles that `make molecule` tries, for example ROLE=nginx or ROLE="nginx vpc". Empty: all.
ROLE ?=

molecule:  ## Every role alone, from create to destroy (ROLE=nginx for one)
	@bin/setup lab && python -m pytest $(if $(ROLE),$(ROLE:%="tests/molecule/test_scenarios.py::test_scenario[%]"),tests/molecule)

mutations:  ## The test of the tests: roles broken on purpose, each seen by its scenario
	@bin/setup lab && python -m pytest tests/mutations

e2e:  ## The whole system in the lab: build, check, rerun, repair, destroy
	@bin/setup lab && python -m pytest tests/e2e

rehearse:  ## The long tests: mutations, faults and drills
	@bin/setup lab && python -m pytest tests/mutations $(wildcard tests/rehearse)

bench:  ## Measure, and write docs/performance.md
	@bin/setup lab && python -m tests.bench.bench && python -m tests.bench.deploys

docs:  ## Write what is generated: inputs in the roles' READMEs, docs/reference.md
	@bin/setup && python bin/docs.py

# What `make ee` builds on and what it calls the result. Empty: a Debian 13 made here, localhost/espalier-ee:latest.
BASE ?=
TAG ?=

ee:  ## Execution environment: the container image for AWX and CI jobs (BASE=docker.io/library/debian:trixie-slim TAG=you/espalier-ee:1)
	@bin/setup ee && python -m lab.execution_environment $(if $(BASE),--base $(BASE)) $(if $(TAG),--tag $(TAG))

COMPILE = --universal --generate-hashes --no-emit-index-url --no-header --quiet

lock:  ## Resolve requirements.in into requirements.txt with hashes
	@bin/setup && uv pip compile --python-version 3.12 $(COMPILE) requirements.in --output-file requirements.txt
	@uv pip compile --python-version 3.12 $(COMPILE) --constraint requirements.txt requirements-ee.in --output-file requirements-ee.txt
	@uv pip compile --python-version 3.10 $(COMPILE) playbooks/bundle/requirements.in --output-file playbooks/bundle/requirements.txt
