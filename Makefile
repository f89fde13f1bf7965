# The two commands: `make demo` (a recording to metric hands) and `make test` (everything a change must keep).
PYTHON ?= python3
DEMO_BAG ?= sample/hand_sample.mcap
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-jazzy lint format types unit ros dev bench clean

demo:
	@$(PYTHON) scripts/setup_venv.py run .venv
	.venv/bin/hand_pose bag $(DEMO_BAG) --out out/demo

dev:
	@$(PYTHON) scripts/setup_venv.py dev .venv-dev
	@.venv-dev/bin/python scripts/setup_ros_light.py .venv-dev

test: dev lint types
	.venv-dev/bin/python -m pytest test --ignore=test/launch

lint:
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .

types:
	.venv-dev/bin/mypy

format:
	.venv-dev/bin/ruff check --fix .
	.venv-dev/bin/ruff format .

unit: dev
	.venv-dev/bin/python -m pytest test --ignore=test/launch --ignore=test/ros

ros: dev
	.venv-dev/bin/python -m pytest test/ros

# The whole of Jazzy (Python 3.12): launch files, tf2, message_filters, both middlewares.
test-jazzy:
	@$(PYTHON) scripts/setup_ros_jazzy.py .venv-jazzy
	. .venv-jazzy/ros_env.sh && .venv-jazzy/bin/python -m pytest test/launch

bench: dev
	.venv-dev/bin/python -m benchmarks.pipeline --peer --threads 1 --json out/bench/pipeline.json
	.venv-dev/bin/python -m benchmarks.real_frames --out out/bench/real_frames

clean:
	rm -rf .venv .venv-dev .venv-jazzy .venv-mediapipe .cache build install log out .mypy_cache .ruff_cache .pytest_cache
