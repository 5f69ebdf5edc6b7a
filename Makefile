# Every command of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Tags that `make lab` leaves out. SKIP=cluster,monitoring: no Kubernetes, which takes a quarter of an hour to build the first time.
export SKIP ?=

.PHONY: help setup lab lab-down lab-status lab-logs plan cost test lint unit molecule mutations e2e rehearse bench docs ee lock logs shell dbshell tunnel

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

# Options of ansible-playbook for `make plan` and `make cost`, for example OPTIONS="-i inventories/production".
OPTIONS ?=

plan:  ## What site.yml would create, change, replace or remove, with downtime and dollars (OPTIONS="-i inventories/production --json")
	@bin/setup && { python bin/plan.py $(OPTIONS) || [ $$? -eq 2 ]; }

cost:  ## What the inventory costs a month, by part, and what could be saved (OPTIONS="-i inventories/production")
	@bin/setup && ansible-playbook playbooks/cost.yml $(OPTIONS)

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

rehearse:  ## The long tests: mutations, the switches of production, faults and drills
	@bin/setup lab && python -m pytest tests/mutations tests/production tests/rehearse

bench:  ## Measure, and write docs/performance.md
	@bin/setup lab && python -m tests.bench.bench && python -m tests.bench.deploys

docs:  ## Write what is generated: inputs in the roles' READMEs, docs/reference.md
	@bin/setup && python bin/docs.py

# What `make ee` builds on and what it calls the result. Empty: a Debian 13 made here, localhost/espalier-ee:latest.
BASE ?=
TAG ?=

ee:  ## Execution environment: the container image for AWX and CI jobs (BASE=docker.io/library/debian:trixie-slim TAG=you/espalier-ee:1)
	@bin/setup ee && python -m lab.execution_environment $(if $(BASE),--base $(BASE)) $(if $(TAG),--tag $(TAG))

# Of `logs`, `shell`, `dbshell` and `tunnel`. ENV: folder of inventories/. INSTANCE: an instance's id, or bastion. TO: database,
# copy (of a restore) or app.
ENV ?= lab
CONNECT = @bin/setup && python bin/connect.py
WHERE = --inventory inventories/$(ENV) instance=$(INSTANCE)

logs:  ## Follow the logs of the application's instances (ENV=production INSTANCE=i-... LINES=200 FOLLOW=no)
	$(CONNECT) logs $(WHERE) lines=$(LINES) follow=$(FOLLOW)

shell:  ## A shell on an instance that serves (INSTANCE=i-... or bastion)
	$(CONNECT) shell $(WHERE)

dbshell:  ## psql as the application's user, read-only (WRITE=yes)
	$(CONNECT) dbshell $(WHERE) write=$(WRITE)

tunnel:  ## A port of this machine that leads to the database, a restore's copy, or an instance (TO=copy or app, PORT=15432)
	$(CONNECT) tunnel $(WHERE) to=$(TO) port=$(PORT)

COMPILE = --universal --generate-hashes --no-emit-index-url --no-header --quiet

lock:  ## Resolve requirements.in into requirements.txt with hashes
	@bin/setup && uv pip compile --python-version 3.12 $(COMPILE) requirements.in --output-file requirements.txt
	@uv pip compile --python-version 3.12 $(COMPILE) --constraint requirements.txt requirements-ee.in --output-file requirements-ee.txt
	@uv pip compile --python-version 3.10 $(COMPILE) playbooks/bundle/requirements.in --output-file playbooks/bundle/requirements.txt
