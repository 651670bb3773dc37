# Each target makes what it needs in .venv by itself; all that must be there is Python (3.11 to 3.13) and make.

PYTHON ?= python3
VENV ?= .venv
DATA ?= ../shared/data
BIN := $(VENV)/bin
LISTS := pyproject.toml setup.py constraints.txt
# sam2 would compile a CUDA extension of which nothing here is made use.
INSTALL := SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable

.DEFAULT_GOAL := help
.PHONY: help app segment test lint bench table

help:
	@echo 'make app [CT=image] [ARGS="..."]   segment in a browser; ARGS goes to samspine app'
	@echo 'make segment CT=image CLICKS="label:+:R,A,S;..." OUT=result.seg.nrrd [ARGS="..."]'
	@echo '                 one click is label, + (inside) or - (outside), and its place in RAS millimetres;'
	@echo '                 CT is a NIfTI, NRRD or MetaImage file or a DICOM folder; ARGS goes to samspine segment'
	@echo 'make test        lint, then every test that needs no GPU'
	@echo 'make lint        ruff and mypy alone'
	@echo 'make bench       timings as one JSON object'
	@echo 'make table [DATA=folder]           every method on every labelled scan, written into README.md'
	@echo 'PYTHON=python3.12 chooses the interpreter, VENV=folder where the packages go (now $(VENV))'

app: $(VENV)/.app
	$(BIN)/samspine app $(if $(CT),'$(CT)') $(ARGS)

segment: $(VENV)/.segment
	@test -n '$(CT)' -a -n '$(CLICKS)' -a -n '$(OUT)' || { \
	    echo 'make segment needs CT, CLICKS and OUT: CT=ct.nii.gz CLICKS="L3:+:10,-20,30" OUT=l3.seg.nrrd' >&2; exit 2; }
	@IFS=';'; set -f --; \
	for click in $$(echo '$(CLICKS)' | sed -E 's/(,[-+0-9.eE]+)[ ;]+/\1;/g'); do set -- "$$@" --click "$$click"; done; \
	unset IFS; $(BIN)/samspine segment '$(CT)' '$(OUT)' "$$@" $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One file of tests after the other on each core, and in each of them, and in what they start, one thread: more would
# stand in each other's way.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -m 'not gpu' -n auto --dist loadfile

bench: $(VENV)/.test
	@$(BIN)/python -m Benchmarks

table: $(VENV)/.test
	$(BIN)/python -m Benchmarks.table --data '$(DATA)' $(ARGS)

$(VENV)/.segment: $(LISTS) | $(BIN)/pip
	$(INSTALL) '.[sam,dicom]'
	@touch $@

$(VENV)/.app: $(LISTS) | $(BIN)/pip
	$(INSTALL) '.[sam,dicom,app]'
	@touch $@ $(VENV)/.segment

$(VENV)/.test: $(LISTS) | $(BIN)/pip
	$(INSTALL) '.[sam,dicom,mrml,app,server,train,test]'
	@touch $@ $(VENV)/.app $(VENV)/.segment

$(BIN)/pip:
	@command -v '$(PYTHON)' >/dev/null || { \
	    echo 'There is no $(PYTHON) here: install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=...' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "The versions in constraints.txt need Python 3.11, 3.12 or 3.13, $(PYTHON) is $$($(PYTHON) -V):" \
	         'name another: make PYTHON=python3.12' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo '$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
