"""El libro de cuentas: contrastado con hechos escritos aquí aparte, y con datos estropeados."""

import re

import pytest

from cnnhistory import ilsvrc

HEADER = (
    "year,entry,team,network,top5_error,is_ensemble,models,extra_data,is_winner,is_official,"
    "test_set,evidence,source_title,source_url,note"
)
GOOD = "2012,a,Equipo,Red,15.3,sí,7,sí,sí,sí,2012+,oficial,Fuente,https://example.org,"

# Copiado a mano de las páginas oficiales y los resúmenes de los artículos, no del CSV.
WINNERS = {
    2010: ("NEC-UIUC", 28.191),
    2011: ("XRCE", 25.770),
    2012: ("SuperVision", 16.422),
    2013: ("Clarifai", 11.743),
    2014: ("GoogLeNet", 6.656),
    2015: ("MSRA", 3.567),
    2016: ("Trimps-Soushen", 2.991),
    2017: ("WMW (Momenta)", 2.251),
}


def test_one_winner_a_year_with_the_challenge_data_and_each_one_improves():
    winners = ilsvrc.winners()
    assert {w.year: (w.team, w.top5_error) for w in winners} == WINNERS
    errors = [w.top5_error for w in winners]
    assert errors == sorted(errors, reverse=True)


def test_supervision_presented_two_numbers_that_differ_in_their_data():
    extra = ilsvrc.find(2012, "supervision-extra")
    supplied = ilsvrc.find(2012, "supervision")
    assert (extra.top5_error, extra.models, extra.extra_data) == (15.315, 7, True)
    assert (supplied.top5_error, supplied.models, supplied.extra_data) == (16.422, 5, False)
    assert extra.is_winner
    assert supplied.is_winner
    single = ilsvrc.find(2012, "alexnet-una")
    assert (single.top5_error, single.is_ensemble, single.test_set) == (18.2, False, "validación")
    assert not single.is_official


def test_zfnet_did_not_win_in_2013():
    for result in ilsvrc.results(2013):
        assert result.is_winner == (result.team == "Clarifai"), result
    assert not ilsvrc.find(2013, "zfnet-articulo").is_official


def test_no_official_entry_beats_the_winner_of_its_year():
    for year in ilsvrc.YEARS:
        best = min(r.top5_error for r in ilsvrc.results(year) if r.is_official)
        assert best in {r.top5_error for r in ilsvrc.results(year) if r.is_winner}


def test_vgg_was_second_and_its_paper_came_later():
    official = [r for r in ilsvrc.results(2014) if r.is_official and r.is_ensemble]
    assert [r.team for r in official] == ["GoogLeNet", "VGG"]
    assert ilsvrc.find(2014, "vgg-articulo").top5_error < official[1].top5_error


def test_every_convolutional_winner_is_an_ensemble():
    assert all(w.is_ensemble for w in ilsvrc.winners() if w.year >= 2012)


def test_before_2012_everyone_was_above_25_percent_and_nobody_uses_a_network():
    for year in (2010, 2011):
        assert all(r.top5_error > 25 and not r.is_ensemble for r in ilsvrc.results(year))


def test_papers_that_claim_to_pass_the_human_level_do_and_their_single_network_does_not():
    human = ilsvrc.human_level()[0]
    assert (human.top5_error, human.training_images, human.test_images) == (5.1, 500, 1500)
    assert human.googlenet_error == 6.8
    assert ilsvrc.find(2015, "prelu").top5_error < human.top5_error
    assert ilsvrc.find(2015, "prelu-una").top5_error > human.top5_error
    assert [h.top5_error for h in ilsvrc.human_level()] == [5.1, 12.0, 2.4]


def test_results_are_in_order_and_filter_by_year():
    everything = ilsvrc.results()
    assert everything == [r for year in ilsvrc.YEARS for r in ilsvrc.results(year)]
    assert [(r.year, r.top5_error) for r in everything] == sorted(
        (r.year, r.top5_error) for r in everything
    )


def test_test_sets_follow_the_year():
    for result in ilsvrc.results():
        if result.is_official:
            assert result.test_set == (str(result.year) if result.year < 2012 else "2012+")


def test_sources_are_the_official_pages_or_the_papers():
    for result in ilsvrc.results():
        assert re.match(
            rf"https://(image-net\.org/challenges/LSVRC/{result.year}/|arxiv\.org/abs/\d|papers\.nips\.cc/paper/)",
            result.source_url,
        ), result
        if result.evidence == "oficial":
            assert "image-net.org" in result.source_url


def test_the_callers_list_is_theirs():
    ilsvrc.results().clear()
    assert ilsvrc.results()


def test_notes_write_decimals_with_a_point():
    assert not [result.note for result in ilsvrc.results() if re.search(r"\d,\d", result.note)]


@pytest.mark.parametrize("year", [2009, 2018, 0])
def test_a_year_without_challenge(year):
    with pytest.raises(ValueError, match=f"de 2010 a 2017: no hay resultados de {year}"):
        ilsvrc.results(year)


def test_an_unknown_entry_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"«supervison» en 2012.*supervision"):
        ilsvrc.find(2012, "supervison")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2012,", "2009,", "línea 2, year «2009»: el desafío fue de 2010 a 2017"),
        ("2012,", "dos mil,", "year «dos mil»: debe ser un entero positivo"),
        (",a,", ",,", "entry «»: no puede quedar vacía"),
        ("15.3", "15,3", "se esperaban 15 celdas"),
        ("15.3", "mucho", "top5_error «mucho»: debe ser un número"),
        ("15.3", "153", "top5_error «153»: un porcentaje de error está entre 0 y 100"),
        ("15.3", "nan", "top5_error «nan»: un porcentaje"),
        ("sí,7", "si,7", "is_ensemble «si»: debe ser una de: sí, no"),
        ("sí,7", "sí,1", "models «1»: no concuerda con is_ensemble"),
        ("sí,7", ",7", "models «7»: no concuerda con is_ensemble"),
        ("2012+", "2013", "test_set «2013»: debe ser una de: 2010, 2011, 2012\\+"),
        ("oficial", "rumor", "evidence «rumor»: debe ser una de: oficial"),
        ("https:", "http:", "source_url .*: la dirección debe empezar por https://"),
        ("sí,2012+", "no,2012+", "is_winner «sí»: una cifra que no se presentó no puede ganar"),
        (GOOD, f"{GOOD}\n{GOOD}", "línea 3, entry «a»: ya hay una fila «a» en 2012"),
        (",note", "", "se esperaban las columnas year, entry"),
    ],
)
def test_a_spoilt_file_says_where_and_why(old, new, message):
    text = f"{HEADER}\n{GOOD}\n"
    assert len(ilsvrc._parse_results(text, "prueba.csv")) == 1
    with pytest.raises(ValueError, match=message) as caught:
        ilsvrc._parse_results(text.replace(old, new, 1), "prueba.csv")
    assert str(caught.value).startswith("prueba.csv")


def test_unknown_is_none_and_not_false():
    text = f"{HEADER}\n{GOOD.replace('sí,7', ',')}\n"
    (result,) = ilsvrc._parse_results(text, "prueba.csv")
    assert result.is_ensemble is None
    assert result.models is None


def test_a_spoilt_human_file():
    header = "entry,label,top5_error,training_images,test_images,googlenet_error,note"
    with pytest.raises(ValueError, match="línea 2, test_images «»: no puede quedar vacía"):
        ilsvrc._parse_human(f"{header}\na1,A1,5.1,500,,6.8,nota\n", "humanos.csv")
