"""Ortografía y tipografía de las páginas, las docstrings y los mensajes: lo corre `make lint`.

La ortografía la revisa Hunspell con su diccionario de español, que no se instala con pip: en
Debian, `apt-get install hunspell hunspell-es`. Las palabras buenas que no conoce están en
`tests/palabras.txt`, una por línea y en orden.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = Path(__file__).parent / "palabras.txt"
# Títulos y nombres en su idioma, o tablas de direcciones: no son prosa nuestra.
SKIPPED = {"docs/referencia/bibliografia.md"}

# Un texto es prosa nuestra, y no código ni HTML, si lleva alguna de estas palabras.
SPANISH = re.compile(
    r"(?i)(?<!\w)(?:el|la|los|las|de|del|en|que|no|un|una|con|por|se|su|más)(?!\w)"
)

Line = tuple[int, str]

# Lo que no es prosa. Se cambia por un punto alto, que ni es letra ni pide espacios.
_NOT_PROSE = re.compile(
    r"""
    ``[^`]+`` | `[^`]*` | \$\$[^$]+\$\$ | \$[^$]+\$          # código y fórmulas
    | <!--.*?--> | </?[a-zA-Z][^<>]*> | --8<--\ \S+           # HTML y fragmentos
    | \{[^{}]*\}                                            # anclas y huecos de una f-string
    | (?<=\])\([^)\s]*\) | (?<=\])\[[^\]]*\] | \[\^[\w-]+\]:?   # destinos de enlaces y notas
    | pip\ install\ [^»"]* | https?://\S+ | \b[\w-]+(?:[./_]\w+)+\b | \b\w+\(\) | (?<!\S)--[\w-]+ | \b\w+=\S+
    | (?:!!!|\?\?\?\+?)\ \w+\ ".*?"                         # recuadros
    | (?<![\w*])\*[^*\s][^*]*\*(?!\*)                       # en cursiva, términos en inglés
    """,
    re.VERBOSE | re.DOTALL,
)

TYPOGRAPHY = {
    r'(?<=\s)"(?=\w+ \w+)|“|”': "las comillas son « »",
    r"\.\.\.": "los puntos suspensivos son un solo signo: …",
    r"\s[,;.](?=\s|$)|(?<!\*) :(?=\s|$)": "sobra un espacio antes del signo",
    r"(?<=\d)x(?=\d)": "el signo de multiplicar es ×",
    r"(?<=[\s(])-(?=\d)": "el signo de menos es −",
    r"\w -\s|\s- \w|\w--": "la raya es — y, mejor, una coma o dos puntos",
    r"(?<![\d.,])\d{5,}(?![\d.])|(?<![\d.,])\d{1,3} \d{3}(?!\d)": "los miles se separan con un espacio fino (U+202F)",
    r"\d %(?=\d)|\d,\d{3}(?!\d)": "los miles llevan espacio fino y los decimales, punto",
}


def main() -> int:
    """Revisa todo y cuenta lo que encuentra; devuelve el código de salida."""
    if not shutil.which("hunspell"):
        print("falta Hunspell; en Debian: apt-get install hunspell hunspell-es", file=sys.stderr)
        return 1
    places = [(path, *line) for path in sources() for line in prose(path)]
    known = WORDS.read_text(encoding="utf-8").split()
    problems = [f"{WORDS.name}: no está en orden o repite"] if known != sorted(set(known)) else []
    used = set().union(*(words(text) for _path, _number, text in places))
    # «Apilémoslos», al empezar una frase, es la misma palabra que «apilémoslos».
    unknown = {word for word in misspelled(used) if not {word, word.lower()} & set(known)}
    for path, number, text in places:
        where = f"{path.relative_to(ROOT)}:{number}"
        problems += [f"{where}: ¿«{word}»?" for word in sorted(words(text) & unknown)]
        problems += [f"{where}: {message}: {found}" for message, found in typography(text)]
    used |= {word.lower() for word in used}
    problems += [f"{WORDS.name}: «{word}» ya no se usa" for word in known if word not in used]
    print("\n".join(problems) or f"{len(places)} trozos de prosa, sin faltas")
    return bool(problems)


def sources() -> list[Path]:
    """Los archivos con prosa: páginas, paquete, capa de construcción y documentos sueltos."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.py")]
    found += (ROOT / "cnnhistory").rglob("*.py")
    # El glosario y las notas de las tablas se publican: también son prosa.
    found += [*(ROOT / "docs").rglob("*.toml"), *(ROOT / "docs/historia").glob("*.csv")]
    found += (ROOT / "cnnhistory/_data").glob("*.csv")
    return sorted(path for path in found if path.relative_to(ROOT).as_posix() not in SKIPPED)


def prose(path: Path) -> Iterator[Line]:
    """Los trozos de prosa de un archivo, con su línea y sin lo que no es prosa."""
    text = path.read_text(encoding="utf-8")
    readers = {".md": _from_markdown, ".py": _from_python}
    raw = readers.get(path.suffix, _from_table)(text)
    for number, piece in raw:
        yield number, _NOT_PROSE.sub("·", piece)


def words(text: str) -> set[str]:
    """Las palabras que se revisan: sin siglas, cifras, títulos en inglés ni nombres propios.

    De las que llevan mayúscula se revisan las que empiezan una frase, que suelen ser corrientes.
    """
    text = re.sub(r"«[^»]*\b(?:of|the|and|for|with|from|to|by|using)\b[^»]*»", "·", text)
    found = re.findall(r"(?<![\w@#\\])[^\W\d_]+(?:-[^\W\d_]+)*(?![\w@])", text)
    lower = {word for each in found for word in each.split("-") if len(word) > 1 and word.islower()}
    start = r"(?:^|[.:?!…]\s+|[¿¡«(—]|\n)\**([A-ZÁÉÍÓÚÑ][a-záéíóúüñ]+)(?![\w@-])"
    return lower | set(re.findall(start, text.strip())) - {"Returns", "Yields"}  # de las docstrings


def misspelled(candidates: set[str]) -> set[str]:
    """Las que Hunspell no conoce."""
    listed = subprocess.run(
        ["hunspell", "-d", "es_MX", "-i", "utf-8", "-l"],
        input="\n".join(sorted(candidates)),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
    )
    return candidates & set(listed.stdout.split())


def typography(text: str) -> list[tuple[str, str]]:
    """Lo que la tipografía no admite: el porqué y el trozo."""
    found = [
        (f"los signos {opening} y {closing} no van por pares", text[:60])
        for opening, closing in ("¿?", "«»")
        if text.count(opening) != text.count(closing)
    ]
    return found + [
        (message, text[max(0, match.start() - 15) : match.end() + 15].strip())
        for pattern, message in TYPOGRAPHY.items()
        for match in re.finditer(pattern, text)
    ]


def _from_markdown(text: str) -> Iterator[Line]:
    """Párrafo por párrafo, sin los bloques de código ni la cabecera."""
    text = re.sub(r"\A---\n.*?\n---\n", lambda found: "\n" * found[0].count("\n"), text, flags=re.S)
    text = re.sub(
        r"^::: .*(?:\n {4}.*)*", lambda found: "\n" * found[0].count("\n"), text, flags=re.M
    )
    fence = r"^( *)(```|~~~).*?^\1\2 *$"
    text = re.sub(fence, lambda found: "\n" * found[0].count("\n"), text, flags=re.S | re.M)
    marks = re.compile(r"^\s*(?:[-+*>#]|\d+\.)+\s+|^\s*\|.*")
    yield from _paragraphs(enumerate(text.split("\n"), 1), marks)
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("|"):
            yield from ((number, cell) for cell in line.split("|") if cell.strip(" -:"))


def _paragraphs(lines: Iterable[Line], marks: re.Pattern[str]) -> Iterator[Line]:
    """Junta las líneas seguidas; una marca de lista o de título empieza otro trozo."""
    first, joined = 0, ""
    for number, line in lines:
        rest = marks.sub("", line)
        if joined and (rest != line or not line.strip()):
            yield first, joined
            joined = ""
        first = first if joined else number
        joined = f"{joined} {rest.strip()}".strip()
    if joined:
        yield first, joined


def _from_table(text: str) -> Iterator[Line]:
    """Lo que una tabla o el glosario dicen entre comillas, si es una frase en español."""
    for number, line in enumerate(text.split("\n"), 1):
        for said in re.findall(r'"([^"]+)"', line):
            if SPANISH.search(said) and " " in said:
                yield number, said


def _from_python(text: str) -> Iterator[Line]:
    """Las celdas de prosa de un tutorial, los comentarios, las docstrings y los mensajes."""
    lines = text.split("\n")
    in_prose, cells = False, [""] * len(lines)
    for index, line in enumerate(lines):
        if line.startswith("# %%"):
            in_prose = "[markdown]" in line
            for label in ("alt", "caption"):
                yield from (
                    (index + 1, said) for said in re.findall(rf'{label}=\[?"([^"]*)"', line)
                )
        elif in_prose and line.startswith("#"):
            cells[index] = line[2:]
    yield from _from_markdown("\n".join(cells))
    comments = [""] * len(lines)
    for token in tokenize.generate_tokens(iter(text.splitlines(keepends=True)).__next__):
        row = token.start[0] - 1
        if token.type == tokenize.COMMENT and not cells[row] and SPANISH.search(token.string):
            comments[row] = token.string.lstrip("# ")
    yield from _paragraphs(enumerate(comments, 1), re.compile(r"^(?:%%|noqa|type:|fmt:).*"))
    argument = re.compile(r"^ *(?:\w+:|-) ")
    for number, written in _strings(ast.parse(text)):
        said = _paragraphs(enumerate(written.split("\n"), number), argument)
        yield from (line for line in said if SPANISH.search(line[1]))


def _strings(tree: ast.Module) -> Iterator[Line]:
    """Las cadenas de un archivo; las f-string, enteras, y las que son código, no."""
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside.update(node.values)
            parts = [part.value if isinstance(part, ast.Constant) else "·" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_code = re.search(r"^(?:import|from|def|for) ", node.value, flags=re.M)
            if node not in inside and not is_code:
                yield node.lineno, node.value


if __name__ == "__main__":
    sys.exit(main())
