# The commands of this project: `make help` lists them.
#
# Each makes what it needs first, which is a virtual environment with pinned packages: .venv, or
# .venv-gpu for `make gpu`. `make PYTHON=/path/to/python3.13 ...` names the Python to make it with,
# and `make CONSTRAINTS=constraints-oldest.txt ...` the versions: that environment is .venv-oldest.
# In an environment, `installed` is there once pip has finished and `ready` once MXNet and OpenCV
# could be imported; both are older than a requirements file that changed since.

CONSTRAINTS := constraints.txt
VENV := .venv$(patsubst constraints%.txt,%,$(notdir $(CONSTRAINTS)))
RUN := $(VENV)/bin/python
# What the package `maskflownet` holds, as the wheel has it: mypy is shown a folder of links to it.
ROOMS = $(filter-out maskflownet,$(patsubst %/__init__.py,%,$(wildcard */__init__.py))) \
	$(wildcard *.py maskflownet/*.py maskflownet/py.typed)

# Another installation's modules must not shadow those of the environment.
unexport PYTHONPATH

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/ready ## make the environment .venv (MXNet for CPUs; 250 MB to download)

gpu: .venv-gpu/ready ## make the environment .venv-gpu (MXNet for GPUs; 1.8 GB to download)

kernels: $(VENV)/ready ## build the fast CPU operators, if there is a C++ compiler
	@$(RUN) -m maskflownet.kernels

demo: kernels ## show the whole path on a few generated pairs
	@$(RUN) -m maskflownet.tasks.showcase.demo

train-demo: kernels ## train a network on unseen scenes (half an hour; goes on after a stop)
	@$(RUN) -m maskflownet.tasks.showcase.train_demo

weights: kernels ## make the weights that come with the project again (days; goes on after a stop)
	@nice -n 19 $(RUN) -m maskflownet.tasks.showcase.ship_weights

ablation: kernels ## compare the paper's ways of matching by short trainings (hours)
	@$(RUN) -m maskflownet.tasks.showcase.ablation

test: kernels ## run the quick tests
	@$(RUN) -m pytest -n 2 --dist worksteal -m "not long and not gpu_wheel"

test-long: kernels ## run the tests that take minutes
	@$(RUN) -m pytest -m long

sanitize: $(VENV)/ready ## run the kernels' tests under address and undefined-behaviour sanitizers
	@$(RUN) -m pytest -n 0 -rs tests/kernels/test_build.py -k sanitizers

test-environments: ## run the quick tests with the oldest, the newest and older packages (an hour)
	@python=$$(sh -c "$$find_python") && "$$python" tests/environments.py

test-gpu-wheel: $(VENV)/ready .venv-gpu/ready ## try MXNet for GPUs without a GPU (1.8 GB to download)
	@$(RUN) -m pytest -n 0 -m gpu_wheel tests/test_gpu_wheel.py

benchmark: kernels ## measure the networks' speed and memory for docs/speed.md (10 minutes)
	@$(RUN) -m maskflownet.benchmark.network
	@$(RUN) -m maskflownet.benchmark.network --isa avx2 --cases "forward 448x1024"
	@$(RUN) -m maskflownet.benchmark.network --precision bf16 --cases "forward 448x1024" "train 1x320x448"
	@$(RUN) -m maskflownet.benchmark.growth
	@$(RUN) -m maskflownet.benchmark.peers

benchmark-growth: kernels ## measure how time and memory grow with the images (2 minutes)
	@$(RUN) -m maskflownet.benchmark.growth

benchmark-loader: kernels ## measure how fast training pairs are read
	@$(RUN) -m maskflownet.benchmark.loader

benchmark-workers: kernels ## measure what training by several workers costs
	@$(RUN) -m maskflownet.benchmark.workers

lint: $(VENV)/ready ## check style, format and types
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@rm -rf $(VENV)/typed/maskflownet && mkdir -p $(VENV)/typed/maskflownet
	@ln -s $(addprefix $(CURDIR)/,$(ROOMS)) $(VENV)/typed/maskflownet
	@cd $(VENV)/typed && ../bin/python -m mypy --config-file $(CURDIR)/pyproject.toml -p maskflownet

format: $(VENV)/ready ## mend what the linter can, and format
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

clean: ## remove environments, caches and the demo's output; weights, logs and flows stay
	rm -rf .venv .venv-* kernels/build .pytest_cache .ruff_cache .hypothesis demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help venv gpu kernels demo train-demo weights ablation test test-long sanitize test-environments test-gpu-wheel benchmark benchmark-growth benchmark-loader benchmark-workers lint format clean anew


# --- The choice of a Python -----------------------------------------------------------------------

# It has to run: pyenv leaves a shim on PATH for every version, and those of inactive ones fail.
SERVES := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))

# A shell script that prints the Python to use: $PYTHON if it is set; else the newest that PATH
# holds. If there is none it says so in one line and fails.
define find_python
set -f
try() {
    "$$1" -c '$(SERVES)' >/dev/null 2>&1 || return 0
    if "$$1" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$$1"
        exit 0
    fi
    bare=$${bare:-$$1}
}
if [ -n "$$PYTHON" ]; then
    try "$$PYTHON"
else
    IFS=:
    for name in python3.13 python3.12 python3.11 python3.10 python3.14 python3; do
        for folder in $$PATH; do try "$$folder/$$name"; done
    done
fi
if [ -n "$$bare" ]; then
    package=$$("$$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    echo "$$bare cannot make virtual environments: install its venv module" \
        "(Debian and Ubuntu: apt-get install $$package, as root)" >&2
elif [ -n "$$PYTHON" ]; then
    echo "PYTHON=$$PYTHON does not run or is not Python 3.10 to 3.14: name one that is," \
        "or leave PYTHON out to have one looked for" >&2
else
    echo "Python 3.10 to 3.14 is needed and none was found: get one (apt-get install" \
        "python3.13-venv where the system has it, else pyenv, conda or uv python install 3.13)," \
        "or name yours: make PYTHON=/path/to/python3.13" >&2
fi
exit 1
endef
export find_python

# "anew" if PYTHON names another version than that of the environment $(1).
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
same = $(filter $(call version,"$(PYTHON)"),$(call version,$(1)/bin/python))
anew = $(if $(PYTHON),$(if $(same),,anew))


# --- The environments -----------------------------------------------------------------------------

# An environment without `installed` was left half made, and one whose Python is gone is of no use:
# both are made anew. Otherwise pip brings it up to date. MXNet, in the file that is the target's
# first prerequisite, comes last and without what it depends on, since its metadata forbids NumPy 2.
define install
@if [ ! -e $@ ] || [ -n "$(filter anew,$^)" ] || ! $(@D)/bin/python -c '$(SERVES)' 2>/dev/null; then \
    python=$$(sh -c "$$find_python") && \
    echo "Making $(@D) with $$python ($$("$$python" --version))" && \
    "$$python" -m venv --clear $(@D) && \
    echo '*' > $(@D)/.gitignore; \
fi
@rm -f $@
@echo "Installing packages into $(@D); the first time this takes minutes"
@$(call pip,-r requirements.txt -r requirements-dev.txt -c $(CONSTRAINTS))
@$(call pip,--no-deps -r $<)
@touch $@
endef

pip = $(@D)/bin/python -m pip install -qq --no-warn-conflicts $(1) || { \
    echo "pip failed; for the whole story: $(@D)/bin/python -m pip install $(1)" >&2; exit 1; }

requirements := requirements.txt requirements-dev.txt $(CONSTRAINTS)

$(VENV)/installed: requirements-cpu.txt $(requirements) $(VENV)/bin/python $(call anew,$(VENV))
	$(install)

.venv-gpu/installed: requirements-gpu.txt $(requirements) .venv-gpu/bin/python $(call anew,.venv-gpu)
	$(install)

# No commands: if it is not there, `installed` is out of date.
%/bin/python: ;

# Imports the modules that are named, or says in one line which system library is missing.
define try_imports
import importlib, sys
from maskflownet import runtime
try:
    for name in sys.argv[1:]:
        importlib.import_module(name)
except (ImportError, OSError) as error:
    raise SystemExit(runtime.explain_missing_library(error) or error)
endef
export try_imports

$(VENV)/ready: $(VENV)/installed
	@$(@D)/bin/python -c "$$try_imports" cv2 mxnet
	@touch $@

# MXNet for GPUs cannot be imported without a driver, so it is not tried here.
.venv-gpu/ready: .venv-gpu/installed
	@$(@D)/bin/python -c "$$try_imports" cv2
	@touch $@
