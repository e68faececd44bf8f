# What people and CI run. Everything is set up on the way: `make demo` and `make test` work in a fresh clone.
# Nothing is written outside .venv, .local and one cache folder; `make clean` empties all three.

MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo up test mutate bench many fidelity checkov picture check workflows sbom format lock set-up browser clean

CACHE := $(if $(filter /%,$(XDG_CACHE_HOME)),$(XDG_CACHE_HOME),$(HOME)/.cache)/teams-ehr-connector
STATE := $(or $(CONNECTOR_STATE),$(CURDIR)/.local)
BIN := .venv/bin
STAMP := .venv/.set-up
RULES := .venv/rules/.set-up

# Azure's own definitions of its resources: `generated` of a clone of Azure/bicep-types-az, or a part of it.
ARM_TYPES ?= ../shared/arm-types

export UV_CACHE_DIR := $(CACHE)/uv
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
# The certificates that the machine trusts, as git and pip do: some networks have their own authority.
export UV_SYSTEM_CERTS := 1
export PIP_NO_CACHE_DIR := 1
# Each of some hundred processes would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo 'make demo [ARGS="--appointments 20 --seed 7"]   the whole product on this machine, then all of it is gone'
	@echo 'make up                                         the same, left running until Ctrl-C'
	@echo 'make test [ARGS="tests/unit -k name"]           every test'
	@echo 'make mutate | bench                             each rule taken away: its tests fail | what things cost'
	@echo 'make many [ARGS="--organizations 1000"]         many organisations: preview, update, a launch at the last'
	@echo 'make fidelity [ARM_TYPES=folder]                emitted resources against the definitions of Azure itself'
	@echo 'make checkov                                    emitted resources against the rules of Checkov'
	@echo 'make picture                                    one geography, drawn into the documents'
	@echo 'make check | format                             style, types, house rules | apply the style'
	@echo 'make sbom                                       the image: its bill of materials'
	@echo 'make lock                                       resolve the requirements anew'
	@echo 'make clean                                      stop what runs; empty .venv, .local and the cache'

demo: $(STAMP)
	@$(BIN)/connector demo $(ARGS)

up: $(STAMP)
	@$(BIN)/connector up $(ARGS)

# What takes long or may be missing comes first, so that it is one message and not a hundred failed tests.
# All of them run in two workers: docs/decisions/0015-two-workers-run-the-tests.md.
test: $(STAMP) browser
	@$(BIN)/python -m tools.pulumi_cli >/dev/null
	@$(BIN)/pytest $(or $(ARGS),--numprocesses 2)

# Each rule is taken away in turn, from outside (tests/mutation): its tests must fail, and no other unit test.
mutate: $(STAMP)
	@$(BIN)/python -m tests.mutation $(ARGS)

# JSON lines; ratios within one run, for comparing, never asserted.
bench: $(STAMP)
	@$(BIN)/python -m tools.pulumi_cli >/dev/null
	@$(BIN)/python -m tests.bench $(ARGS)

# A thousand organisations in the local stack: preview, update, a launch at the last one. Takes minutes.
many: $(STAMP)
	@$(BIN)/python -m tools.pulumi_cli >/dev/null
	@$(BIN)/python -m tests.bench.many $(ARGS)

# Ends with NOT CHECKED where the folder is absent: that is no success.
fidelity: $(STAMP)
	@$(BIN)/python -m tests.fidelity --types "$(ARM_TYPES)"

# The emitted resources of production as ARM templates, judged by rules that others wrote. Offline, but for the set-up.
checkov: $(STAMP) $(RULES)
	@$(BIN)/python -m tests.checkov --state "$(STATE)/checkov"

# The Mermaid flowchart in the documents. A test fails where it is not what the program emits now.
picture: $(STAMP)
	@$(BIN)/python -m tests.picture

browser: $(STAMP)
	@$(BIN)/python -m tests.support.browser >/dev/null

check: $(STAMP)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --cache-dir .venv/cache/import-linter
	@$(BIN)/hadolint Containerfile
	@$(MAKE) --no-print-directory workflows

# GitHub's workflow files: their schema, and what makes them unsafe.
workflows: $(STAMP)
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/zizmor --offline --quiet --persona pedantic .github/workflows

# The image's bill of materials. Its time is the commit's, so that the same commit has the same bill.
sbom: $(STAMP)
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --pretty=%ct)} \
	    $(BIN)/python -m workflow.sbom --output "$(STATE)/sbom.cdx.json"

format: $(STAMP)
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

set-up: $(STAMP)
	@:

$(STAMP): pyproject.toml requirements/dev.txt tools/uv.txt tools/bootstrap.sh
	@tools/bootstrap.sh "$(CACHE)"
	@touch $@

$(RULES): requirements/rules.txt tools/rules.sh | $(STAMP)
	@tools/rules.sh "$(CACHE)"
	@touch $@

lock: $(STAMP)
	@tools/lock.sh "$(CACHE)"

clean:
	@if [ -x $(BIN)/connector ] && [ -d "$(STATE)" ]; then $(BIN)/connector down || true; fi
	@if [ -d "$(CACHE)" ]; then chmod -R u+w "$(CACHE)"; fi
	@rm -rf .venv .local "$(CACHE)"
	@find . -name .git -prune -o -type d -name __pycache__ -exec rm -rf {} +
