# Two commands on a fresh machine: `make verify` (claims on the embedded models, evidence, report) and `make test`;
# `make docs` builds the site. Each creates the virtual environment if there is none. PYTHON picks the interpreter (3.11 to 3.13).
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v))) python3)
VENV ?= .venv
BIN := $(VENV)/bin
# One thread repeats bit for bit and is fastest for models of this size.
export OMP_NUM_THREADS ?= 1

# Which build of torch: on Linux the one for CPUs, a tenth of the size, unless there is a GPU; elsewhere what pip takes by itself.
# TORCH=cpu or TORCH=cuda overrides it, TORCH_INDEX names another index of builds.
TORCH ?= $(if $(filter Linux,$(shell uname -s)),$(if $(wildcard /dev/nvidia0)$(shell command -v nvidia-smi),cuda,cpu),pip)
TORCH_INDEX ?= $(if $(filter cpu,$(TORCH)),https://download.pytorch.org/whl/cpu)
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: verify test test-oldest docs lint clean
verify: $(VENV)/.ready
	$(BIN)/pytest claims -n auto -p no:randomly --html=reports/pytest.html --self-contained-html --junitxml=reports/junit.xml

test: $(VENV)/.ready
	$(BIN)/pytest tests -n auto --dist worksteal

# The oldest versions that are allowed, in an environment of their own; of the tests those that need no newer torch than mechcheck does.
OLDEST ?= .venv-oldest
OLDEST_TESTS := tests/base tests/stats tests/notation tests/prompts tests/evidence tests/models/test_loading.py tests/engine/test_run.py \
	tests/engine/test_sweep.py tests/circuits/test_files.py tests/verdicts tests/plugin/test_plugin_verdicts.py tests/plugin/test_plugin_options.py
test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/pytest $(OLDEST_TESTS) --ignore tests/base/test_device.py -n auto --dist worksteal
	$(OLDEST)/bin/pytest claims/ioi --mech-profile smoke -n auto -p no:randomly

$(OLDEST)/.ready: pyproject.toml requirements/oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/oldest.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

docs: $(VENV)/.ready
	$(BIN)/sphinx-build -W --keep-going -E -b html docs build/docs

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	env EAGER_IMPORT=1 $(BIN)/python -c "import mechcheck"

# Whatever is not in the lock, or has another hash, is not installed. torch comes from where this machine gets its builds (see the lock).
$(VENV)/.ready: pyproject.toml requirements/ci.txt requirements/ci.lock
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps -r requirements/ci.lock
ifneq ($(TORCH_INDEX),)
	$(PIP) --timeout 15 --retries 1 --no-deps --index-url $(TORCH_INDEX) $$(grep '^torch==' requirements/ci.txt) || \
	    echo "$(TORCH_INDEX) does not answer: torch is the build that pip finds by itself, on Linux the larger one for CUDA"
endif
	$(PIP) $$(grep '^torch==' requirements/ci.txt)
	$(PIP) --no-build-isolation --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(OLDEST) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
