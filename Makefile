# The two commands a person needs are `make lab` and `make test`; the environment is made on the way.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8888
LAB_FLAGS ?=
CHAPTER ?=
MINE := $(CURDIR)/mine

.PHONY: lab mine test stress course course-notebooks check bench clean environment

environment: $(READY)

# Rebuilt only when pyproject.toml changes.
$(READY): pyproject.toml
	@echo "Installing PyTorch, JupyterLab and the rest into $(VENV): gigabytes, once, in a few minutes, of which the last go by without a word."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[test]'
	touch $@

# One's own copies, which git ignores: what is run and written in them changes nothing in the clone, and stays.
mine:  ## copies of the panel's notebook and the course's chapters; those that nobody has changed follow the clone's
	@$(PYTHON) lab/course/copies.py notebooks "$(MINE)"

# Of servers that are not asked for here, Voila's would warn of its own use of Jupyter, and language servers of what is not installed.
QUIET := --ServerApp.jpserver_extensions=voila.server_extension=False --LanguageServerManager.autodetect=False

lab: $(READY) mine  ## JupyterLab on the panel; prints its address, and opens a browser where there is one
	$(BIN)/python -m jupyterlab --port=$(PORT) --ServerApp.root_dir='$(CURDIR)' --LabApp.app_settings_dir='$(CURDIR)/notebooks/settings' --LabApp.default_url=/lab/tree/mine/lab.ipynb $(QUIET) $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_FLAGS)

# A server, a kernel and a browser under one load: a stall of the machine is nobody's fault, a second failure is. Only
# failed tests are asked again: whatever else a round ends in is red at once.
BROWSER_TESTS = $(BIN)/python -m pytest -p no:nbval tests/browser

test: $(READY)  ## everything: units, faults, notebooks, the panel in Chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -p no:nbval --ignore=tests/browser
	$(BROWSER_TESTS) || { [ $$? -eq 1 ] && echo 'What failed above is asked once more, alone: what fails twice is red.' && $(BROWSER_TESTS) --last-failed --last-failed-no-failures=none; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/sanitize.cfg notebooks/*.ipynb
	$(MAKE) course

stress: $(READY)  ## a sweep of 200 points that are killed, and 1,000 random recipes in one panel; takes an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p no:nbval tests/faults -m stress --hypothesis-profile=stress

course: $(READY)  ## the course, or CHAPTER=05 of it: every line as the instructor has it, every number within its tolerance, other seeds too
	rm -rf notebooks/course/instructor/runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/sanitize.cfg notebooks/course/instructor/$(CHAPTER)*.ipynb
	$(BIN)/python -m lab.course --compare --chapter='$(CHAPTER)'
	OMP_NUM_THREADS=1 $(BIN)/python -m lab.course --execute build/course --chapter='$(CHAPTER)' first_seed=10
	test -z "$$(find build/course -name '*.ipynb' -size +500k)"  # no figure twice, no state of widgets

course-notebooks: $(READY)  ## students' notebooks out of the instructor's, and the answers sealed
	$(BIN)/python -m lab.course

check: $(READY)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: $(READY)  ## speed against peers, as ratios; takes a while and wants a quiet machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python bench/training.py
	$(BIN)/python bench/panel.py
	$(BIN)/python bench/stacks.py
	$(BIN)/python bench/compare.py
	$(BIN)/python bench/models.py
	$(BIN)/python bench/optimizers.py
	$(BIN)/python bench/diagnostics.py
	$(BIN)/python bench/sample_grids.py
	$(BIN)/python bench/augmentations.py
	$(BIN)/python bench/landscape.py
	$(BIN)/python bench/transfer.py
	$(BIN)/python bench/transfer_time.py
	$(BIN)/python bench/transfer_labels.py
	$(BIN)/python bench/few_labels.py
	$(BIN)/python bench/savings.py
	$(BIN)/python bench/curvature.py
	$(BIN)/python bench/landscape_live.py
	$(BIN)/python bench/sweeps.py

clean:  ## everything that can be made again; runs stay
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
