"""El glosario: una sola fuente para su página y para los recuadros de las demás.

En cada página, la primera aparición de cada término se envuelve en `<abbr title="…">`, que el tema
muestra como recuadro. Nunca dentro de código, enlaces, títulos, figuras, tablas ni textos en otro idioma.
"""

import re
import tomllib
import unicodedata
import xml.etree.ElementTree as etree
from dataclasses import dataclass
from pathlib import Path

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString
from mkdocs.exceptions import PluginError

SOURCE = Path(__file__).parents[1] / "referencia" / "glosario.toml"
WITHOUT_TOOLTIPS = frozenset(("referencia/glosario.md", "referencia/bibliografia.md"))
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCKS = {"figure", "pre", "script", "style", "summary", "svg", "table"}
SKIPPED = frozenset({"a", "abbr", "button", "code", "kbd", *_BLOCKS, *_HEADINGS})


@dataclass(frozen=True)
class Term:
    """Un término: en español, en inglés, qué es y con qué formas merece recuadro."""

    es: str
    en: str
    definition: str
    forms: tuple[str, ...]
    exact: bool

    @property
    def anchor(self) -> str:
        """El ancla del término en la página del glosario."""
        return re.sub(r"[^a-z0-9]+", "-", _plain(self.es.lower()).replace("×", "x")).strip("-")


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def collation(text: str) -> str:
    """Clave del orden alfabético español: sin tildes ni mayúsculas, y la ñ detrás de la n."""
    kept = text.lower().replace("ñ", "n\uffff")
    return _plain(kept)


def load(path: Path = SOURCE) -> list[Term]:
    """Los términos, en orden alfabético español."""
    terms = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["termino"]:
        unknown = entry.keys() - {"es", "en", "def", "formas", "exacto"}
        missing = {"es", "en", "def"} - entry.keys()
        if unknown or missing:
            name = entry.get("es", "sin nombre")
            raise PluginError(
                f"{path.name}, término «{name}»: "
                + (f"falta {', '.join(sorted(missing))}" if missing else "")
                + (f"sobra {', '.join(sorted(unknown))}" if unknown else "")
            )
        terms.append(
            Term(
                entry["es"],
                entry["en"],
                entry["def"],
                tuple(entry.get("formas", ())),
                entry.get("exacto", False),
            )
        )
    anchors = [term.anchor for term in terms]
    for term in terms:
        if anchors.count(term.anchor) > 1:
            raise PluginError(f"{path.name}: «{term.es}» está repetido")
    return sorted(terms, key=lambda term: collation(term.es))


def page() -> str:
    """La página del glosario, en Markdown: una lista de definiciones por letra."""
    lines: list[str] = []
    letter = ""
    for term in load():
        initial = collation(term.es)[0].upper()
        if initial != letter:
            letter = initial
            lines += [f"## {letter} {{ #letra-{letter.lower()} }}", ""]
        lines += [
            f"{term.es} {{ #{term.anchor} }}",
            f":   *{term.en}*{{ lang=en }}. {term.definition}",
            "",
        ]
    return '<div class="glosario" markdown>\n\n' + "\n".join(lines) + "\n</div>"


class GlossaryExtension(Extension):
    """Extensión de Markdown que pone los recuadros; `start_page` la prepara para cada página."""

    def __init__(self, terms: list[Term]) -> None:
        super().__init__()
        self._by_form = {
            form if term.exact else form.lower(): term for term in terms for form in term.forms
        }
        exact = [form for term in terms if term.exact for form in term.forms]
        loose = [form for term in terms if not term.exact for form in term.forms]
        alternatives = [
            (form, re.escape(form) if form in exact else f"(?i:{re.escape(form)})")
            for form in sorted({*exact, *loose}, key=lambda form: (-len(form), form))
        ]
        inner = "|".join(pattern for _, pattern in alternatives) or r"(?!)"
        self._pattern = re.compile(rf"(?<![\w-])(?:{inner})(?![\w-])")
        self._pending: set[Term] = set()
        self._terms = frozenset(terms)

    def start_page(self, src_uri: str) -> None:
        """Olvida lo ya explicado: cada página explica cada término una vez."""
        self._pending = set() if src_uri in WITHOUT_TOOLTIPS else set(self._terms)

    def extendMarkdown(self, md: Markdown) -> None:
        """Registra el paso que pone los recuadros, después de las marcas en línea."""
        md.treeprocessors.register(_Tooltips(md, self), "glosario", 6)

    def next_match(self, text: str) -> tuple[int, int, Term] | None:
        """La primera aparición en `text` de un término que la página no ha explicado aún."""
        for match in self._pattern.finditer(text):
            term = self._by_form.get(match[0]) or self._by_form[match[0].lower()]
            if term in self._pending:
                self._pending.discard(term)
                return match.start(), match.end(), term
        return None


class _Tooltips(Treeprocessor):
    def __init__(self, md: Markdown, glossary: GlossaryExtension) -> None:
        super().__init__(md)
        self._glossary = glossary

    def run(self, root: etree.Element) -> None:
        self._visit(root)

    def _visit(self, element: etree.Element) -> None:
        if element.tag in SKIPPED or element.get("lang"):  # otro idioma: no es nuestro término
            return
        for abbr in self._split(element, "text"):
            element.insert(0, abbr)
        for child in list(element):
            self._visit(child)
            index = list(element).index(child) + 1
            for abbr in self._split(child, "tail"):
                element.insert(index, abbr)

    def _split(self, element: etree.Element, where: str) -> list[etree.Element]:
        """Parte un texto en sus términos; los devuelve del último al primero."""
        found: list[etree.Element] = []
        holder, attribute = element, where
        while True:
            text = getattr(holder, attribute)
            if not text or isinstance(text, AtomicString):
                break
            match = self._glossary.next_match(text)
            if match is None:
                break
            start, end, term = match
            # Con `tabindex` el recuadro se abre también con el teclado y al tocarlo.
            abbr = etree.Element("abbr", {"title": term.definition, "tabindex": "0"})
            abbr.text = AtomicString(text[start:end])
            abbr.tail = text[end:]
            setattr(holder, attribute, text[:start])
            found.append(abbr)
            holder, attribute = abbr, "tail"
        return found[::-1]
