"""Figuras de matplotlib para dentro de la página: SVG que sigue al tema claro y al oscuro.

La tinta de ejes y textos (`INK` en `cnnhistory.plotting`) pasa a `currentColor`; los colores de las
series no se tocan. Los identificadores llevan un prefijo para que dos figuras no se pisen, y las
coordenadas se cortan en centésimas de punto, que nadie ve y pesan la mitad. Las imágenes grandes
pasan de PNG a WebP: una página con fotos pasaba de 1 MB, y se lee en teléfonos.
"""

import base64
import functools
import html
import io
import re

import markdown
from PIL import Image

INK = re.compile(r"#5b6472", re.IGNORECASE)
PROLOGUE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)
STYLESHEET = re.compile(r"<defs>\s*<style[^>]*>\s*\*\s*\{([^}]*)\}\s*</style>\s*</defs>")
OPENING = re.compile(r"<svg\b[^>]*>")
IMAGE_ID = re.compile(r'(<image\b[^>]*?) id="[^"]*"')
IDENTIFIER = re.compile(r'(\bid="|href="#|url\(#)')
COORDINATES = re.compile(r'(\b(?:d|x|y|x1|y1|x2|y2|points)=")([^"]*)"')
LONG_DECIMAL = re.compile(r"(\.\d\d)\d+")
PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
HEAVY = 3000  # bytes de PNG desde los que vale la pena
PHOTO = 6000  # bytes de WebP sin pérdida que solo pasan las fotos: esas, con pérdida
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
    body = PNG.sub(lambda m: lighter(m[1]), body)
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
    return figure(f'<img src="{lighter(data)}" alt="{html.escape(alt)}">', caption)


def lighter(png: str) -> str:
    """La dirección `data:` de una imagen PNG: tal cual si es pequeña, y si no, en WebP.

    Los mapas y los dibujos quedan píxel por píxel como estaban; las fotos, a la vista, también.
    """
    original = base64.b64decode(png)
    if len(original) < HEAVY:
        return f"data:image/png;base64,{''.join(png.split())}"
    image = Image.open(io.BytesIO(original))
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")  # matplotlib guarda siempre la transparencia
    smaller = _webp(image, lossless=True)
    if len(smaller) > PHOTO:
        smaller = _webp(image, lossless=False)
    return f"data:image/webp;base64,{base64.b64encode(smaller).decode()}"


def _webp(image: Image.Image, *, lossless: bool) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=lossless, quality=90, exact=True)
    return file.getvalue()


def figure(content: str, caption: str) -> str:
    """La figura con su pie, que puede llevar énfasis, código y enlaces de Markdown."""
    if caption:
        text = markdown.markdown(caption).removeprefix("<p>").removesuffix("</p>")
        content += f"\n<figcaption>{text}</figcaption>"
    return f'<figure class="figura">\n{content}\n</figure>'


def compact(coordinates: str) -> str:
    """Coordenadas en una línea y con dos decimales."""
    return " ".join(LONG_DECIMAL.sub(r"\1", coordinates).split())
