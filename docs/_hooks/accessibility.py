"""Lo que a las plantillas de Material les falta para un lector de pantalla o un teclado."""

from mkdocs.exceptions import PluginError

_BUTTON = 'role="button" tabindex="0" aria-label'

# Trozo de Material 9.8 → su arreglo. Está en todas las páginas: si falta, Material cambió.
_FIXES = {
    '<div class="md-search" data-md-component="search" role="dialog">': (
        '<div class="md-search" data-md-component="search" role="dialog" aria-label="Búsqueda">'
    ),
    '<label class="md-header__button md-icon" for="__drawer">': (
        f'<label class="md-header__button md-icon" for="__drawer" {_BUTTON}="Abrir el menú">'
    ),
    '<label class="md-header__button md-icon" for="__search">': (
        f'<label class="md-header__button md-icon" for="__search" {_BUTTON}="Abrir la búsqueda">'
    ),
}


def on_post_page(output: str, **_: object) -> str:
    """Nombra el diálogo de búsqueda y vuelve botones las etiquetas de la cabecera."""
    for original, fixed in _FIXES.items():
        if original not in output:
            raise PluginError(
                f"Material ya no trae {original!r}: revisa docs/_hooks/accessibility.py"
            )
        output = output.replace(original, fixed)
    return output
