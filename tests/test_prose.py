"""La revisión de ortografía y tipografía: qué lee y qué le parece mal."""

import prose
import pytest

TUTORIAL = """# %% [markdown]
# # Un título { #titulo }
#
# Prosa con `código_raro`, $x_i$, un [enlace](otra-pagina.md#xyz) y el
# *stride* de la capa.[^nota]

# %% alt="Lo que se ve." caption="Al pie."
x = 1  # no se usa el resto
raise ValueError(f"no hay {x} de la clase «{x}»")
"""


def pieces(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return list(prose.prose(path))


def test_of_a_tutorial_it_reads_prose_comments_messages_and_alternative_texts(tmp_path):
    found = pieces(tmp_path, "pagina.py", TUTORIAL)
    assert sorted(number for number, _text in found) == [2, 4, 7, 7, 8, 9]
    text = " ".join(text for _number, text in found)
    for read in ("Un título", "Lo que se ve.", "Al pie.", "no se usa el resto", "de la clase «·»"):
        assert read in text
    for hidden in ("código_raro", "x_i", "otra-pagina", "stride", "titulo", "nota"):
        assert hidden not in text


def test_of_a_module_it_reads_docstrings_and_not_code(tmp_path):
    module = '"""Hace algo de la red.\n\nArgs:\n    alfa: Lo que pesa la pérdida.\n"""\nx = "y z"\n'
    text = " ".join(text for _number, text in pieces(tmp_path, "modulo.py", module))
    assert text == "Hace algo de la red. Lo que pesa la pérdida."
    assert not pieces(tmp_path, "guion.py", 'CODE = """\nimport os\nlos = "de la"\n"""\n')


def test_of_markdown_it_skips_code_and_headers(tmp_path):
    page = (
        "---\ntitle: uno\n---\n\n```python\nperro = 1\n```\n\n| Pez | 3 |\n| --- | --- |\n\nGato.\n"
    )
    text = " ".join(text for _number, text in pieces(tmp_path, "pagina.md", page))
    assert prose.words(text.lower()) == {"pez", "gato"}


def test_names_acronyms_and_english_titles_are_not_checked():
    text = "La red de Hinton usa ReLU y «One weird trick for all» con conv2 bien-hecha"
    assert prose.words(text) == {"La", "red", "de", "usa", "con", "bien", "hecha"}


def test_the_first_word_of_a_sentence_is_checked_too():
    assert {"Veamso", "Gato", "Perro"} <= prose.words("Veamso eso. Gato, y Hinton. ¿Perro?")
    assert "Hinton" not in prose.words("Veamso eso. Gato, y Hinton. ¿Perro?")
    assert prose.misspelled({"Veamso", "Gato"}) == {"Veamso"}


@pytest.mark.parametrize(
    "wrong",
    [
        'una "buena idea" ajena',
        "así... sin más",
        "antes , después",
        "de 3x3",
        "entre -5 y 5",
        "60000 fotos",
        "60,000 fotos",
        "Por qué?",
        "dice «esto y sigue",
        "esto - aquello",
    ],
)
def test_typography_notices(wrong):
    assert prose.typography(wrong)


def test_typography_accepts_good_text():
    right = "¿Por qué «esto»? De 3×3, con 60\N{NARROW NO-BREAK SPACE}000 fotos, −5 y 0.93… en 2012."
    assert not prose.typography(right)
