"""Las celdas `fuente`: qué texto entra en la página y qué se rechaza."""

import subprocess
import sys
import textwrap

import pytest
from fuente import FuenteError, expand

BLOCKS = '''
"""Bloques."""

import math
from collections import OrderedDict, defaultdict
from functools import cache

from . import base
from .base import Base, helper as ayuda

# Tabla del artículo.
TABLE = (1, 2)
"""Qué es la tabla."""

WIDTH, HEIGHT = 3, 4


# Nota histórica: así se hacía.
@cache  # recuerda
def area(side: int) -> float:
    """Área."""
    # un comentario que se conserva
    return  math.pi * side**2


class Block(Base):
    """Un bloque."""

    rows = defaultdict(int)

    def forward(self, x):
        math = x  # local: no es el módulo
        return [ayuda(TABLE, cell) for cell in x]


def alone():
    return WIDTH
'''


@pytest.fixture
def root(tmp_path):
    package = tmp_path / "cnnhistory" / "models"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .blocks import Block\n")
    (package / "base.py").write_text("class Base: ...\ndef helper(a, b): ...\n")
    (package / "blocks.py").write_text(BLOCKS)
    return tmp_path


def page(*cells):
    return "# %% [markdown]\n# # Título\n\n" + "\n".join(textwrap.dedent(cell) for cell in cells)


def fuente(imports):
    return f'# %% tags=["fuente"]\n{imports}\n'


def body(script, nth=-1):
    return script.split("# %%")[nth].partition("\n")[2]


def test_a_constant_that_ends_the_cell_leaves_its_docstring_behind(root):
    last = body(expand(page(fuente("from cnnhistory.models.blocks import TABLE")), "p.py", root))
    assert last == "# Tabla del artículo.\nTABLE = (1, 2)\n"  # la cadena saldría como resultado
    both = expand(page(fuente("from cnnhistory.models.blocks import TABLE, area")), "p.py", root)
    assert '\n"""Qué es la tabla."""\n' in both


def test_the_text_is_exact_with_decorators_comments_and_the_imports_it_uses(root):
    script = page(fuente("from cnnhistory.models.blocks import area"), "# %%\narea(2)\n")
    assert expand(script, "p.py", root) == page(
        fuente(
            "import math\n"
            "from functools import cache\n"
            "\n\n"
            "# Nota histórica: así se hacía.\n"
            "@cache  # recuerda\n"
            "def area(side: int) -> float:\n"
            '    """Área."""\n'
            "    # un comentario que se conserva\n"
            "    return  math.pi * side**2"
        ),
        "# %%\narea(2)\n",
    )


def test_several_names_keep_the_order_of_the_file_and_relative_imports_become_absolute(root):
    script = page(
        fuente(
            "from cnnhistory.models.blocks import (\n    Block,\n    TABLE,\n)\n"
            "from cnnhistory.models.blocks import area"
        )
    )
    text = body(expand(script, "p.py", root))
    starts = [text.index(start) for start in ("TABLE =", "def area", "class Block")]
    assert starts == sorted(starts)
    assert '"""Qué es la tabla."""' in text
    assert text.startswith(
        "import math\nfrom collections import defaultdict\nfrom functools import cache\n\n"
        "from cnnhistory.models.base import Base, helper as ayuda\n\n\n"
    )
    assert "OrderedDict" not in text
    assert "from . import" not in text


def test_a_local_name_is_not_taken_for_an_import(root):
    script = page(fuente("from cnnhistory.models.blocks import TABLE, Block"))
    assert "import math" not in expand(script, "p.py", root)


def test_constants_of_one_statement_are_shown_once(root):
    text = expand(page(fuente("from cnnhistory.models.blocks import HEIGHT, WIDTH")), "p.py", root)
    assert text.count("WIDTH, HEIGHT = 3, 4") == 1


def test_what_an_earlier_cell_already_brought_is_not_repeated(root):
    script = page(
        "# %%\nimport math\n",
        fuente("from cnnhistory.models.blocks import TABLE"),
        fuente("from cnnhistory.models.base import Base, helper"),
        fuente("from cnnhistory.models.blocks import Block, area"),
    )
    last = body(expand(script, "p.py", root))
    assert "import math" not in last
    assert "import Base" not in last
    # Se mostró como `helper`, y el bloque lo usa con otro nombre.
    assert "from cnnhistory.models.base import helper as ayuda" in last


def test_a_name_the_page_took_for_something_else_is_imported_again(root):
    script = page("# %%\nmath = 3\n", fuente("from cnnhistory.models.blocks import area"))
    assert "import math" in body(expand(script, "p.py", root))


def test_a_name_of_the_page_stands_in_for_one_of_the_module(root):
    script = page("# %%\nWIDTH = 9\n", fuente("from cnnhistory.models.blocks import alone"))
    assert body(expand(script, "p.py", root)).startswith("def alone")


def test_the_expanded_script_runs(root):
    script = page(
        fuente("from cnnhistory.models.base import Base, helper"),
        fuente("from cnnhistory.models.blocks import TABLE, Block, area"),
        "# %%\nassert Block().forward([1, 2]) == [None, None]\nassert area(2) > 12\n",
    )
    code = expand(script, "p.py", root)
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=root)


def test_the_rest_of_the_script_is_untouched(root):
    script = page("# %%\nx = 1   \n\n\n", '# %% tags=["oculto"]\ny = "fuente"\n')
    assert expand(script, "p.py", root) == script


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("from cnnhistory.models.blocks import nothing", "no define «nothing»"),
        ("from cnnhistory.models import Block", "no define «Block»"),
        ("from cnnhistory.models.vgg import VGG", "no existe el módulo cnnhistory.models.vgg"),
        ("from cnnhistory.models.blocks import alone", "usa «WIDTH», de cnnhistory.models.blocks"),
        ("from cnnhistory.models.blocks import *", "sobra «from"),
        ("from cnnhistory.models.blocks import area as a", "sobra «from"),
        ("from cnnhistory.models.blocks import area\nx = 1", "sobra «x = 1»"),
        ("# nada", "no importa nada"),
    ],
)
def test_a_cell_that_cannot_be_shown_says_where_and_why(root, cell, message):
    with pytest.raises(FuenteError, match=r"arquitecturas/p\.py, celda 3: ") as error:
        expand(page("# %%\nx = 1\n", fuente(cell)), "arquitecturas/p.py", root)
    assert message in str(error.value)


def test_a_cell_that_is_not_python_is_named(root):
    script = page("# %%\nx = = 1\n", fuente("from cnnhistory.models.blocks import area"))
    with pytest.raises(FuenteError, match=r"p\.py, celda 2: no es Python válido"):
        expand(script, "p.py", root)
