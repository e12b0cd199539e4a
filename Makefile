# Every target sets up what it needs in .venv; only a package index, make and Python 3.11+ are required.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
RANKS  ?= 2
# Peers of the benchmark live in environments of their own; Recommenders-Addons needs an older TensorFlow.
PEERS  ?= .venv-peers
TFRA   ?= .venv-tfra
TORCH      ?= torch==2.13.0
FBGEMM     ?= fbgemm-gpu-cpu==1.8.0
TENSORFLOW ?= tensorflow-cpu==2.21.*
ADDONS     ?= tensorflow-recommenders-addons==0.8.1 tensorflow-cpu==2.16.2 tf-keras==2.16.0
JOBS   ?= 2
# Minutes that the comparison of a full benchmark may take: points of its sweeps are dropped evenly to fit.
BUDGET ?= 20

.PHONY: run test lint format docs ptx protos mutants fuzz chaos bench bench-quick bench-peers movielens warmup test-gpu wheel sbom lowest clean help
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "monolith-ref needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mpi]'
	@touch $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.run

run: $(VENV)/.run ## the main job: the comparison on RANKS=2 ranks
	$(BIN)/mpiexec -n $(RANKS) $(BIN)/monolith-ref compare

test: $(VENV)/.dev ## every test but the slow ones
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'not cudasim and not slow and not mpi'
	$(BIN)/python -m pytest -m 'mpi and not slow'
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'cudasim and not slow'

test-gpu: $(VENV)/.dev ## the CUDA tests on a real device
	$(BIN)/python -m pytest -m cudasim

lint: $(VENV)/.dev ## format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs ## the documentation as a site in build/site; warnings are errors
	$(BIN)/python -m sphinx -W -n -q --keep-going -j auto docs build/site

ptx: $(VENV)/.dev ## compile and assemble every CUDA kernel, without a device
	$(BIN)/python -m monolith_kernels.ptx

protos: $(VENV)/.dev ## regenerate the protobuf code
	$(BIN)/python -m monolith_protos.generate

warmup: $(VENV)/.run ## compile what the main job, tables and training need ahead of time
	$(BIN)/monolith-ref warmup

mutants: $(VENV)/.dev ## one-token mutants of every rule, and wrong variants of the oracle: each must be killed
	$(BIN)/python -m tests.mutants
	$(BIN)/monolith-ref conform mutants

fuzz: $(VENV)/.dev ## damage files FUZZ_CASES times (10000), try rules FUZZ_EXAMPLES times each (400)
	FUZZ_CASES=$${FUZZ_CASES:-10000} $(BIN)/python -m pytest -q --timeout 3000 tests/monolith_ref/checkpoint/test_fuzz.py
	$(BIN)/monolith-ref conform fuzz --backend engine-cpu --examples $${FUZZ_EXAMPLES:-400} --corpus runs/fuzz

chaos: $(VENV)/.dev ## kill ranks at random points and restart, twenty times (CHAOS_SEED chooses them)
	$(BIN)/python -m pytest -m slow tests/conformance/compare/test_chaos.py

bench: $(VENV)/.bench ## engine and peers in turns: sizes, widths, threads, ranks; BUDGET=20 minutes; benchmarks/results
	$(BIN)/python -m benchmarks.harness --budget $(BUDGET) --peers $(PEERS) --tfra $(TFRA); status=$$?; \
	$(BIN)/python benchmarks/kernels.py --json benchmarks/results/kernels.json; \
	$(BIN)/python benchmarks/checkpoint.py && $(BIN)/python benchmarks/model_dump.py && exit $$status

bench-quick: $(VENV)/.bench ## the floors alone: exit 1 where one is missed, 3 without torch or fbgemm
	$(BIN)/python -m benchmarks.harness --quick --peers $(PEERS) --tfra $(TFRA)

bench-peers: ## environments of the peers: torch, fbgemm, TensorFlow; Recommenders-Addons in its own
	$(PYTHON) -m venv $(PEERS)
	-$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check 'numpy>=2.0' $(TORCH)
	-$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(FBGEMM)
	-$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(TENSORFLOW)
	$(PYTHON) -m venv $(TFRA)
	-$(TFRA)/bin/python -m pip install --quiet --disable-pip-version-check $(ADDONS)
	@touch $(PEERS)/.made

$(PEERS)/.made:
	$(MAKE) bench-peers

$(VENV)/.bench: $(VENV)/.dev $(PEERS)/.made
	@touch $@

movielens: $(VENV)/.run ## fetch MovieLens-100K into data/ml-100k.tsv
	$(BIN)/python -m monolith_ref.training.movielens

wheel: $(VENV)/.dev ## wheel and sdist in dist/: built twice, installed on every Python here
	$(BIN)/python -m release.wheel --output dist

sbom: $(VENV)/.dev ## dist/sbom.cdx.json: what an installation pulls in, its licences checked
	@mkdir -p dist
	$(BIN)/python -m release.licences --output dist/sbom.cdx.json

lowest: $(VENV)/.dev ## the oldest versions of dependencies that are allowed
	$(BIN)/python -m release.lowest

clean: ## remove what the other targets made
	rm -rf $(VENV) $(PEERS) $(TFRA) dist build runs .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
