"""Lo que a las plantillas de Material les falta para un lector de pantalla o un teclado."""

import re

from mkdocs.exceptions import PluginError


def _header_button(toggle: str, name: str) -> tuple[str, str]:
    """Una etiqueta de la cabecera no recibe el foco; un botón sí (`site.js` le da vida)."""
    return (
        rf'<label class="md-header__button md-icon" for="{toggle}">(.*?)</label>',
        rf'<button type="button" class="md-header__button md-icon" data-toggle="{toggle}" '
        rf'aria-label="{name}">\1</button>',
    )


# Trozos de Material 9.8 y su arreglo. Están en todas las páginas: si uno falta, Material cambió.
_FIXES = (
    _header_button("__drawer", "Abrir el menú"),
    _header_button("__search", "Abrir la búsqueda"),
    (r'(data-md-component="search" role="dialog")', r'\1 aria-label="Búsqueda"'),
)
# Cada nivel del menú es una región con nombre repetido: basta con la del menú entero.
_NESTED_NAV = re.compile(
    r'(<nav class="md-nav" data-md-level="[1-9]") aria-labelledby="[^"]*" aria-expanded="\w+"'
)


def on_post_page(output: str, **_: object) -> str:
    """Nombra el diálogo de búsqueda, vuelve botones las etiquetas y aplana las regiones."""
    for pattern, fixed in _FIXES:
        output, times = re.subn(pattern, fixed, output, flags=re.DOTALL)
        if times != 1:
            raise PluginError(f"Material cambió {pattern!r}: revisa docs/_hooks/accessibility.py")
    return _NESTED_NAV.sub(r'\1 role="none"', output)
