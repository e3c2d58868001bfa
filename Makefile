# Two commands for a newcomer: `make demo` shows the whole pipeline, `make test` runs the checks.
# Both make their own environment in .venv first. PYTHON names the interpreter to make it from (3.11 to 3.14).

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python

# Written so that any Python can read it: 2.7 and 3.5 are to say the same line.
VERSION   := import sys; print("%d.%d" % sys.version_info[:2])
SUPPORTED := import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 14) else "Python 3.11 to 3.14 is needed, this is %d.%d; name another with make PYTHON=python3.13" % v)

# Tests run in a process a core and one more, of which each takes a gigabyte and a half; `make test TEST_PROCESSES=` runs
# them in one. Threads that wait for work sleep: they would keep the other processes' cores busy otherwise. Bytecode is kept
# even where that is switched off (PYTHONDONTWRITEBYTECODE): the hundreds of processes that tests start would each compile
# the package.
TEST_PROCESSES := --numprocesses=auto --maxprocesses=4

DEMO_YEARS := 2016 2019 2022
DEMO_MODEL := segformer_demo
DEMO_ITER  := 400
DEMO_RUN   := -model=$(DEMO_MODEL) -iter=$(DEMO_ITER) --demo

.PHONY: demo test test-all lint docs benchmark clean

# The same commands that a real run takes (see README.md), with --demo added.
demo: $(VENV)/ready
	set -e; for year in $(DEMO_YEARS); do $(RUN) segmentation_dataset_generation.py -year=$$year --demo; done
	$(RUN) -m segmentation.train configs/segformer_demo_mining-512x512.py
	set -e; for year in $(DEMO_YEARS); do $(RUN) gpkg_dataset_generation.py -year=$$year $(DEMO_RUN); done
	$(RUN) -m segmentation.panel $(DEMO_RUN)
	$(RUN) -m segmentation.overview --years $(DEMO_YEARS) $(DEMO_RUN)
	$(RUN) -m segmentation.evaluate -year=2019 $(DEMO_RUN) --gallery
	@echo
	@echo "The demo is done; its landscape is synthetic, the pipeline is the real one. In segmentation/data/demo/:"
	@echo "  overview.png                           what was seen and found: look at this first"
	@echo "  segmentation/2019/evaluation/*/test/   how good the model is: tables, curves.png, gallery.png"
	@echo "  segmentation/YEAR/gpkg/*.gpkg          mining polygons of $(DEMO_YEARS): open in QGIS"
	@echo "  segmentation/panel/*/panel.gpkg        the same as one: sites, growth and loss; plays through time in QGIS"
	@echo "  segmentation/panel/*/map.html          the same in a browser, with a year slider"
	@echo "  segmentation/YEAR/windows.gpkg         what was looked at: open in QGIS"
	@echo "  segmentation/2019/{img_dir,ann_dir}/   the chips and masks that the model learned from"

# Warnings are errors: a dead link or a missing picture fails. All pages are read anew, as a page that is not read warns of nothing.
DOCS := -m sphinx --fail-on-warning --keep-going --quiet --fresh-env --nitpicky -b html -d site/.doctrees docs site

test: $(VENV)/ready-to-test lint
	$(RUN) $(DOCS)
	OMP_WAIT_POLICY=PASSIVE PYTHONDONTWRITEBYTECODE= $(RUN) -m pytest $(TEST_PROCESSES)

# The same on every supported Python that is here (the path's and pyenv's), each in an environment of its own.
test-all:
	@$(PYTHON) -c '$(SUPPORTED)'
	$(PYTHON) tests/every_python.py

lint: $(VENV)/ready-to-test
	$(VENV)/bin/ruff check --output-format concise .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

docs: $(VENV)/ready-to-write
	$(RUN) $(DOCS)
	@echo "open site/index.html"

benchmark: $(VENV)/ready
	$(RUN) -m benchmarks.read_windows
	$(RUN) -m benchmarks.join_polygons
	$(RUN) -m benchmarks.planning
	$(RUN) -m benchmarks.dataset
	$(RUN) -m benchmarks.inference
	$(RUN) -m benchmarks.outlines
	$(RUN) -m benchmarks.write_polygons
	$(RUN) -m benchmarks.panel

clean:
	rm -rf $(VENV) $(VENV)-3.* site

# An environment of another version of Python, as an earlier checkout may have left, is made anew.
$(VENV)/ready: requirements.txt
	@$(PYTHON) -c '$(SUPPORTED)'
	@test ! -e $(VENV) || test "`$(RUN) -c '$(VERSION)' 2>&1`" = "`$(PYTHON) -c '$(VERSION)'`" || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/ready-to-write: $(VENV)/ready requirements-docs.txt
	$(RUN) -m pip install --quiet --requirement requirements-docs.txt
	touch $@

$(VENV)/ready-to-test: $(VENV)/ready requirements-stac.txt requirements-docs.txt requirements-dev.txt
	$(RUN) -m pip install --quiet --requirement requirements-dev.txt
	touch $@
