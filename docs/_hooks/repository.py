"""La dirección del repositorio, que solo conoce el entorno.

`GITHUB_REPOSITORY` («dueño/nombre», la que define GitHub Actions) enciende los enlaces al código, los
de editar cada página y la dirección pública del sitio. Sin ella, nada de eso aparece.
"""

import os
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

NOTEBOOKS = "cuadernos"
"""La rama en que CI publica los cuadernos: de ahí los abre Colab."""


def name() -> str:
    """«dueño/nombre», o nada si no se sabe."""
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise PluginError(f"GITHUB_REPOSITORY debe ser «dueño/nombre»; llegó «{repository}»")
    return repository


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Completa la configuración con lo que depende del repositorio."""
    if repository := name():
        owner, project = repository.split("/", 1)
        config.repo_url, config.repo_name = f"https://github.com/{repository}", repository
        config.edit_uri = "edit/main/docs/"
        config.site_url = f"https://{owner}.github.io/{project}/"
        config.theme["features"].append("content.action.edit")
    return config
