"""Figuras de matplotlib para dentro de la página: SVG que sigue al tema claro y al oscuro.

La tinta de ejes y textos (`INK` en `cnnhistory.plotting`) pasa a `currentColor`; los colores de las
series no se tocan. Los identificadores llevan un prefijo para que dos figuras no se pisen, y las
coordenadas se cortan en centésimas de punto, que nadie ve y pesan la mitad.
"""

import functools
import html
import re

import markdown

INK = re.compile(r"#5b6472", re.IGNORECASE)
PROLOGUE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)
STYLESHEET = re.compile(r"<defs>\s*<style[^>]*>\s*\*\s*\{([^}]*)\}\s*</style>\s*</defs>")
OPENING = re.compile(r"<svg\b[^>]*>")
IMAGE_ID = re.compile(r'(<image\b[^>]*?) id="[^"]*"')
IDENTIFIER = re.compile(r'(\bid="|href="#|url\(#)')
COORDINATES = re.compile(r'(\b(?:d|x|y|x1|y1|x2|y2|points)=")([^"]*)"')
LONG_DECIMAL = re.compile(r"(\.\d\d)\d+")
FONT = re.compile(r"'DejaVu Sans'(?:, (?:'[^']*'|[\w-]+))*")


@functools.lru_cache(maxsize=512)  # al servir, casi todas son las de la vez anterior
def svg_figure(svg: str, prefix: str, alt: str, caption: str) -> str:
    """Una figura SVG lista para la página, con su texto alternativo y su pie."""
    svg = PROLOGUE.sub("", svg).strip()
    opening = OPENING.search(svg)
    if opening is None:
        raise ValueError("una figura dice ser SVG y no tiene etiqueta <svg>")
    body = svg[opening.end() :]
    # Nadie enlaza a las imágenes, y dos iguales en una figura tendrían el mismo identificador.
    body = IMAGE_ID.sub(r"\1", body)
    body = IDENTIFIER.sub(rf"\g<1>{prefix}-", body)
    body = COORDINATES.sub(lambda m: f'{m[1]}{compact(m[2])}"', body)
    body = FONT.sub("var(--md-text-font-family, sans-serif)", body)
    body = INK.sub("currentColor", body)
    view = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) [\d.]+"', opening[0])
    if view is None:
        raise ValueError("una figura SVG necesita viewBox para adaptarse al ancho de la página")
    # En matplotlib una unidad es un punto; la figura nunca se muestra más grande que eso. Su hoja
    # de estilos, que dentro de una página valdría para toda la página, pasa a la etiqueta.
    style = "; ".join([f"max-width: {float(view[1]) * 4 / 3:.0f}px", *STYLESHEET.findall(body)])
    start = f'<svg {view[0]} style="{style}" role="img" aria-label="{html.escape(alt)}">'
    body = STYLESHEET.sub("", body)
    return figure(start + re.sub(r">\s*\n\s*<", "><", body), caption)


def png_figure(data: str, alt: str, caption: str) -> str:
    """Una figura PNG, incrustada para que la página no dependa de otro archivo."""
    data = "".join(data.split())
    image = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
    return figure(image, caption)


def figure(content: str, caption: str) -> str:
    """La figura con su pie, que puede llevar énfasis, código y enlaces de Markdown."""
    if caption:
        text = markdown.markdown(caption).removeprefix("<p>").removesuffix("</p>")
        content += f"\n<figcaption>{text}</figcaption>"
    return f'<figure class="figura">\n{content}\n</figure>'


def compact(coordinates: str) -> str:
    """Coordenadas en una línea y con dos decimales."""
    return " ".join(LONG_DECIMAL.sub(r"\1", coordinates).split())
