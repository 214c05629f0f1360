# `make demo` and `make test` do all set-up on a fresh Debian 12 machine (root, git, make).
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Compiled modules and tests are kept: the tests start the command by the hundred, and collecting takes half as long.
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python
APT := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends

help: ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: .venv/.ready ## The macfleet command in .venv, from the hashed lock

.venv/.ready: requirements.txt pyproject.toml
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq && $(APT) python3 python3-venv; }
	python3 -m venv .venv
	.venv/bin/pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	.venv/bin/pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

packages: ## Debian packages the tests and the lab use, where they are missing
	@scripts/packages.sh

demo: setup packages ## Two simulated Macs, five stages, one comparison
	@scripts/demo.sh

oracle: ## ansible-core in .oracle, which the inventory's differential tests ask
	@scripts/oracle.sh

browser: setup ## Chromium, which the tests of the HTML report look through
	@scripts/browser.sh

bench-engine: setup packages ## Speed beside Ansible, Mitogen and pyinfra; writes docs/benchmarks.md (ten to fourteen minutes, quiet machine; TABLES="many bulk" for some)
	@scripts/peers.sh
	$(PY) -m bench.engine $(TABLES)

clean-lab: ## Remove the demo's lab, and the engine if the lab started it
	@[ ! -d demo ] || .venv/bin/macfleet lab down --state-dir demo/.macfleet/lab
	@rm -rf demo

check: setup ## Everything that needs no node
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --verbose > .import_linter.log 2>&1 || { cat .import_linter.log; exit 1; }
	$(PY) -m pytest -n 2 -m "not lab and not sshd and not slow"

test: check packages oracle browser ## All of it: check, real servers, the lab
	$(PY) -m pytest -n 2 -m "(sshd or slow) and not lab"
	$(PY) -m pytest -m lab -x -p no:randomly --timeout 1500

scenarios: setup packages ## Every planted fault through the whole of stage 5, and what the thresholds say (quiet machine)
	MACFLEET_SCENARIOS=all $(PY) -m pytest -m lab -v -rs -p no:randomly --timeout 1500 tests/lab/test_planted_*.py

bench-calibration: setup ## How often our own rules are wrong, into docs/benchmarks.md
	$(PY) -m bench.calibration

bench-loadgen: setup ## The load client's accuracy, under a hog, beside GuideLLM and AIPerf, into docs/benchmarks.md (TABLES="accuracy hog peers" for some)
	-@scripts/peers-load.sh
	$(PY) -m bench.loadgen $(TABLES)

bench-compare: setup ## 200 runs of 100,000 requests compared: seconds and memory, into docs/benchmarks.md
	$(PY) -m bench.compare

fix: setup ## Format and mend what can be mended
	.venv/bin/ruff format --quiet .
	.venv/bin/ruff check --fix --quiet .

docs: setup ## Regenerate the reference pages
	$(PY) docs/generate.py

golden: setup ## Rewrite golden files; look at the difference before committing
	MACFLEET_GOLDEN=1 $(PY) -m pytest -m "not lab and not sshd" tests

lock: setup ## Resolve requirements.txt anew (needs uv)
	uv pip compile --quiet pyproject.toml --extra analysis --extra report --extra postgres --extra lab --extra dev --universal --python-version 3.11 \
	  --generate-hashes -o requirements.txt

.PHONY: help setup packages demo oracle browser clean-lab check test scenarios bench-engine bench-calibration bench-loadgen bench-compare fix docs golden lock
