"""Las fichas de las páginas: todo sale del catálogo, y lo que no hay no se muestra."""

import re

import cards
import generated
import pytest

from cnnhistory.inspection import thousands
from cnnhistory.models import CATALOG


def terms(html):
    """Lo que la ficha dice, por su término."""
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html))


@pytest.mark.parametrize("name", CATALOG)
def test_every_net_has_its_block_and_its_counts(name):
    card = CATALOG[name]
    shown = terms(generated.expand(f"<!-- generado: ficha {name} -->", "arquitecturas/otra.md"))

    assert shown["Año"] == str(card.year)
    assert shown["Parámetros"] == thousands(card.parameters)
    assert shown["MACs por imagen"] == thousands(card.macs)
    assert ("Error top-5" in shown) == (card.top5_error is not None)
    assert ("Viene de" in shown) == bool(card.inherits)


def test_a_net_leads_to_its_heirs_and_they_lead_back():
    shown = terms(cards.ficha("alexnet", "arquitecturas/alexnet.py"))["Lo heredaron"]
    assert re.findall(r'href="(.*?)">(.*?)<', shown) == [
        ("../zfnet/", "ZFNet"),
        ("../nin/", "NiN"),
        ("../vgg/", "VGG-16"),
        ("../googlenet/", "GoogLeNet"),
    ]
    assert "Lo heredaron" not in terms(cards.ficha("senet_mini", "arquitecturas/senet.py"))
    assert "Lo heredaron" not in terms(cards.ficha("alexnet_mini", "arquitecturas/alexnet.py"))


def test_every_net_leads_to_the_results():
    shown = terms(cards.ficha("resnet50", "arquitecturas/resnet.py"))["Junto a las demás"]
    assert re.findall(r'href="(.*?)"', shown) == [
        "../../resultados/",
        "../../resultados/fidelidad/",
        "../../resultados/carrera-justa/",
    ]


def test_the_top5_error_says_that_it_is_an_ensemble():
    shown = terms(cards.ficha("alexnet", "arquitecturas/alexnet.py"))
    assert shown["Error top-5"] == "16.422\u00a0% en ILSVRC 2012 (un conjunto de redes)"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("arquitecturas/lenet-5.py", "LeNet-5"),
        ("arquitecturas/alexnet.py", '<a href="../lenet-5/">LeNet-5</a>'),
        ("arquitecturas/index.md", '<a href="lenet-5/">LeNet-5</a>'),
        ("index.md", '<a href="arquitecturas/lenet-5/">LeNet-5</a>'),
    ],
)
def test_a_net_links_to_its_page_except_from_it(page, expected):
    assert cards.link(CATALOG["lenet5"], page) == expected


def test_several_contributions_are_a_list_and_one_is_not():
    several = terms(cards.ficha("alexnet", "arquitecturas/alexnet.py"))["Dejó"]
    assert several.count("<li>") == len(CATALOG["alexnet"].gave) > 1
    assert "<li>" not in terms(cards.ficha("lenet5", "arquitecturas/lenet-5.py"))["Dejó"]
