# What a developer types. Python 3.11 or newer and make are all that is needed; see `make help`.
# PYTHON=… chooses the interpreter, ARGS=… goes to the command (make test ARGS='-k produce').

.DEFAULT_GOAL := help
.SILENT:
.DELETE_ON_ERROR:
.PHONY: dev test check format bench image clean help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
IMAGE ?= kafka-over-http

dev: $(INSTALLED) ## try it out: embedded broker, demo topic, proxy on 127.0.0.1:8082
	exec $(BIN)/kafka-over-http dev $(ARGS)

test: $(INSTALLED) ## the whole suite, on the best broker there is (TEST_BROKER=… forces one)
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED) ## formatting, lint, types, import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

format: $(INSTALLED) ## put the source into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## the benchmark
	$(BIN)/python bench/run.py $(ARGS)

image: ## build the container image (BASE_IMAGE=… another base, IMAGE=… another name)
	docker build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t $(IMAGE) $(ARGS) .

clean: ## remove what was built and installed; the data of `make dev` stay in .koh-dev
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

# Once, and again when the dependencies have changed.
$(INSTALLED): pyproject.toml constraints.txt
	python=$$(scripts/find_python) && \
	{ test -x $(BIN)/python || { echo "creating $(VENV) with $$python"; \
	  rm -rf $(VENV); "$$python" -m venv $(VENV); }; }
	echo "installing the dependencies into $(VENV)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,test]'
	touch $@
