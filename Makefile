# Tareas del proyecto. `make` sin más las lista; cada una instala antes lo que le falte.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.listo
ADDR ?= 127.0.0.1:8000

export NO_MKDOCS_2_WARNING := 1

.PHONY: help setup serve docs test lint bench clean

help: ## Muestra esta lista
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(READY) ## Crea el entorno en .venv con las versiones exactas de constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Hace falta Python 3.11 o posterior: make PYTHON=python3.12 …'; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo 'Falta el módulo venv: en Debian, apt-get install python3-venv'; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs,tests]'
	@touch $@

serve: setup ## Sirve el sitio en http://$(ADDR) y lo actualiza mientras escribes
	$(BIN)/mkdocs serve --dev-addr $(ADDR)

docs: setup ## Construye el sitio en site/, con todo ejecutado; cualquier aviso es un error
	$(BIN)/mkdocs build --strict

# El sitio se construye una vez, y los procesos se reparten las pruebas una por una.
test: setup ## Corre todas las pruebas, con cobertura
	@[ -n "$$CNNHISTORY_SITE" ] || $(MAKE) docs
	CNNHISTORY_SITE=$${CNNHISTORY_SITE:-site} $(BIN)/pytest --numprocesses auto --maxprocesses 4 \
	  --dist worksteal --durations 15 --cov --cov-report=term

lint: setup ## Estilo, documentación, tipos, esquemas, ortografía y tipografía
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/python tests/prose.py

bench: setup ## Mide el bucle contra el de d2l, la aumentación, SIFT y Grad-CAM; la última línea es JSON
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m pip install --quiet --no-deps d2l==1.0.3
	$(BIN)/python tests/bench.py

clean: ## Borra el entorno, el sitio y las cachés
	rm -rf .venv .cache site dist build ./*.egg-info .pytest_cache .ruff_cache .coverage
