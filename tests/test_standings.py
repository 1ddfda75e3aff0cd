"""La carrera grabada y el rendimiento medido: lo que las páginas dicen de ellos es lo que hay."""

import re
import statistics

import fullsize
import generated
import performance
import pytest
import recipes
import standings

from cnnhistory import eras, race
from cnnhistory.models import CATALOG


@pytest.fixture(scope="module")
def runs() -> list[race.Run]:
    return race.load(standings.FOLDER)


@pytest.fixture(scope="module")
def table(runs) -> dict[str, race.Standing]:
    return {row.name: row for row in race.standings(runs)}


def test_every_runner_ran_with_at_least_three_seeds_and_one_recipe(runs):
    seeds: dict[str, set[int]] = {}
    for run in runs:
        assert not run.error
        seeds.setdefault(run.recipe["name"], set()).add(run.recipe["seed"])
    assert set(seeds) == set(race.RUNNERS)
    assert all({0, 1, 2} <= own for own in seeds.values())
    own = ("name", "seed", "lr")
    common = [{key: run.recipe[key] for key in run.recipe if key not in own} for run in runs]
    assert all(recipe == common[0] for recipe in common)
    assert common[0]["subset"] == "full"
    assert all(run.recipe["lr"] == CATALOG[run.recipe["name"]].lr for run in runs)


def test_the_nets_that_ran_are_those_of_the_catalogue(runs):
    for run in runs:
        card = CATALOG[run.recipe["name"]]
        assert (run.parameters, run.macs) == (card.parameters, card.macs)


def test_the_recorded_race_takes_what_the_page_says(runs):
    hours = sum(run.seconds for run in runs) / 3600
    assert round(2 * hours) / 2 == 2.5  # «unas dos horas y media»
    assert all("1 hilo" in run.machine for run in runs)  # «en un solo núcleo»


def test_progress_is_not_chronological(table):
    for later in ("alexnet_mini", "nin_mini", "allcnn_mini"):
        assert table["lenet5_modern"].top1 > table[later].top1
    assert CATALOG["lenet5_modern"].year < CATALOG["alexnet_mini"].year


def test_normalization_and_shortcuts_go_first(table):
    first = list(table)[:3]
    assert set(first) == {"resnet_mini", "densenet_mini", "senet_mini"}
    assert table[first[0]].top1 - table[first[2]].top1 < 0.005
    assert table["vgg_mini"].top1 > table["lenet5_modern"].top1
    resnet, densenet = table["resnet_mini"], table["densenet_mini"]
    assert abs(resnet.top1 - densenet.top1) < resnet.deviation


def test_everything_fits_in_few_points(table):
    assert table["softmax"].top1 > 0.84
    assert list(table)[-1] == "softmax"
    best = next(iter(table.values()))
    assert round(100 * (best.top1 - table["softmax"].top1)) == 8


def test_dearer_is_not_better(table):
    lenet = table["lenet5_modern"]
    dearest = max(table.values(), key=lambda row: row.macs)
    assert dearest.name == "alexnet_mini"
    assert dearest.macs > 20 * lenet.macs
    assert dearest.top1 < lenet.top1
    for name, times in (("densenet_mini", 12), ("resnet_mini", 13)):
        assert round(table[name].macs / lenet.macs) == times
        assert 0.01 < table[name].top1 - lenet.top1 < 0.02


def test_two_seeds_of_googlenet_are_farther_than_two_nets(runs, table):
    scores = [run.test.top1 for run in runs if run.recipe["name"] == "googlenet_mini" and run.test]
    gap = abs(table["lenet5_modern"].top1 - statistics.mean(scores))
    assert max(scores) - min(scores) > gap


def test_the_table_has_a_row_and_the_logs_of_each_net(runs, table):
    html = generated.block("tabla-carrera", "resultados/carrera-justa.py")
    rows = re.findall(r"<tr><td.*?</tr>", html)
    assert len(rows) == len(table)
    links = re.findall(r'href="\.\./\.\./(resultados/carrera/[\w-]+\.json)"', html)
    assert len(links) == len(runs)
    assert all((standings.FOLDER.parent.parent / link).exists() for link in links)
    assert f"{100 * table['resnet_mini'].top1:.2f}" in html


@pytest.mark.parametrize("name", ["grafico-carrera-por-anio", "grafico-carrera-por-macs"])
def test_the_charts_say_every_figure_to_who_does_not_see_them(name, table):
    svg = generated.block(name, "resultados/carrera-justa.py")
    assert svg.count("<circle") == len(table)
    label = re.search(r'aria-label="([^"]*)"', svg)
    assert label
    assert len(label[1].split("; ")) == len(table)


def test_the_performance_table_is_the_log():
    text = generated.block("rendimiento", "resultados/rendimiento.md")
    for key, (label, _) in performance.MEASURES.items():
        lines = [line for line in text.splitlines() if label in line]
        for line, kind in zip(lines, performance.LOGS, strict=True):
            row = performance.log(kind)[key]
            assert f"| {row['ratio']:.1f} |" in line
            assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]


def test_what_the_page_says_of_performance():
    fast, slow = performance.log("con"), performance.log("sin")
    assert fast["bf16"]
    assert not slow["bf16"]
    assert 1 < slow["resnet18_96"]["ratio"] < 1.5  # «gana poco»
    assert 2.5 < fast["resnet18_96"]["ratio"] < 3.5  # «unas tres veces»
    for log in (fast, slow):
        assert log["lenet_28"]["ratio"] > 2  # «gana mucho»
        assert log["compose_28"]["ratio"] > 10
        assert log["words_28"]["ratio"] > 5
        assert 0.9 < log["grad_cam_28"]["ratio"] < 1.3  # «casi un empate»
        for key in performance.SCORES:
            assert log[key]["cnnhistory"] > log[key]["d2l"]
        assert log["lenet_28_top1"]["images"] == 60_000  # «el capítulo de LeNet tal cual»
        assert log["lenet_28_top1"]["epochs"] == 10
    # «aprende lo mismo que sin él»
    learned = [log["lenet_28_top1"]["cnnhistory"] for log in (fast, slow)]
    assert abs(learned[0] - learned[1]) < 0.005
    lenet, resnet, alexnet = (fast[key] for key in performance.SETTINGS)
    assert lenet["ratio"] > 1.05  # «gana algo»
    assert 0.8 < resnet["ratio"] < 1.1  # «no gana nada»
    assert alexnet["ratio"] > 1.5  # «casi tanto como las cuentas»
    rows = generated.block("rendimiento-ajustes", "resultados/rendimiento.md").splitlines()[2:]
    assert len(rows) == len(performance.SETTINGS)
    scores = generated.block("rendimiento-acierto", "resultados/rendimiento.md").splitlines()[2:]
    assert len(scores) == 2 * len(performance.SCORES)


def test_the_long_runs_are_what_the_page_says():
    forty, eighty = (race.load(fullsize.RESULTS / f"largas/{epochs}-epocas") for epochs in (40, 80))
    for runs, epochs in ((forty, 40), (eighty, 80)):
        assert {run.recipe["epochs"] for run in runs} == {epochs}
    own = ("name", "seed", "lr", "epochs")
    everything = [*forty, *eighty]
    common = [{k: run.recipe[k] for k in run.recipe if k not in own} for run in everything]
    assert all(recipe == common[0] for recipe in common)
    assert (common[0]["subset"], common[0]["augment"]) == ("full", "crop_flip")
    assert len({(run.machine, run.date, *run.versions.values()) for run in everything}) == 1
    assert max(run.parameters for run in everything) < 200_000
    short, long = (fullsize.ours(f"largas/{epochs}-epocas") for epochs in (40, 80))
    scores = [row.top1 for row in short.values()]
    assert max(scores) - min(scores) < 0.003  # «no se distinguen»
    assert all(row.top1 < 0.934 for row in short.values())  # «ninguna llega»
    assert set(long) == {"vgg_mini", "senet_mini"}
    assert all(run.test.top1 > 0.935 for run in eighty)  # «pasan de las dos»
    assert all(long[name].top1 - short[name].top1 > 0.003 for name in long)
    text = generated.block("tabla-largas", "resultados/carrera-justa.py")
    assert text.count("`vgg_mini`") == text.count("`senet_mini`") == 2
    assert len(re.findall(r"\(largas/[\w/-]+\.json\)", text)) == len(everything)


# ¿Arquitectura o receta?


def test_every_network_ran_with_both_recipes_the_same_seeds_and_budget():
    budget = ("dataset", "subset", "epochs", "batch_size")
    own = {name: {} for name in recipes.runs()}
    for name, runs in recipes.runs().items():
        for run in runs:
            assert not run.error
            own[name].setdefault(run.recipe["name"], set()).add(run.recipe["seed"])
    assert own["articulo"] == own["hoy"]
    assert set(own["hoy"]) == set(eras.ERAS)
    assert all({0, 1, 2} <= seeds for seeds in own["hoy"].values())
    everything = [run.recipe for runs in recipes.runs().values() for run in runs]
    assert len({tuple(recipe[key] for key in budget) for recipe in everything}) == 1


def test_each_recipe_is_the_one_that_the_page_tells():
    for run in recipes.runs()["articulo"]:
        era = eras.ERAS[run.recipe["name"]]
        for key in ("lr", "optimizer", "schedule", "initialization", "weight_decay", "augment"):
            assert run.recipe[key] == getattr(era, key)
        assert run.recipe["label_smoothing"] == 0
    for run in recipes.runs()["hoy"]:
        recipe = run.recipe
        assert (recipe["optimizer"], recipe["schedule"]) == ("nesterov", "one_cycle")
        assert (recipe["augment"], recipe["label_smoothing"]) == ("crop_flip", 0.1)
        assert recipe["initialization"] is None
        assert recipe["lr"] == CATALOG[recipe["name"]].lr


def test_what_the_page_says_of_recipes():
    pairs = {pair.name: pair for pair in recipes.pairs()}
    assert recipes.spread("paper") > 5 * recipes.spread("today")  # «varias veces más»
    for name in ("alexnet_mini", "zfnet_mini"):  # «no sale del azar… y apenas»
        assert abs(pairs[name].paper.top1 - 0.1) < 0.03
    forgiving = {  # «cinco pasan del 80 % con las dos»
        name for name, pair in pairs.items() if min(pair.paper.top1, pair.today.top1) > 0.8
    }
    residual = {"resnet_mini", "resnext_mini", "densenet_mini", "senet_mini"}
    assert forgiving == residual | {"lenet5_modern"}
    densenet = pairs.pop("densenet_mini")
    assert densenet.gain < -densenet.paper.deviation - densenet.today.deviation
    rest = [row.top1 for pair in pairs.values() for row in (pair.paper, pair.today)]
    assert densenet.paper.top1 > max(*rest, densenet.today.top1)


def test_the_table_of_recipes_has_every_network_and_its_logs():
    html = generated.block("tabla-recetas", "resultados/carrera-justa.py")
    assert html.count("<tr><td>") == len(recipes.pairs())
    links = re.findall(r'href="\.\./\.\./(resultados/recetas/[\w/-]+\.json)"', html)
    assert len(links) == sum(map(len, recipes.runs().values()))
    assert all((standings.FOLDER.parent.parent / link).exists() for link in links)
    text = generated.block("recetas-de-articulo", "resultados/carrera-justa.py")
    assert all(f"- `{name}`: " in text for name in eras.ERAS)


def test_every_full_network_that_ran_but_one_beats_the_curve_of_d2l():
    ran = fullsize.ours("completas")
    assert ran
    for row in fullsize.theirs():
        if row["red"] in ran:
            ahead = (
                ran[row["red"]].top1 > float(row["acierto"]) + 0.005
            )  # el error de leer la curva
            assert ahead == (row["red"] != "vgg11_quarter")  # «todavía no alcanza a su curva»
    for run in race.load(fullsize.RESULTS / "completas"):
        assert run.recipe["subset"] == "full"
        assert run.recipe["epochs"] <= 10
    epochs = {
        run.recipe["name"]: run.recipe["epochs"]
        for run in race.load(fullsize.RESULTS / "completas")
    }
    # «en tres épocas…, en cuatro…, en una…, con dos»
    names = ("resnet18", "googlenet", "densenet121", "vgg11_quarter")
    assert [epochs[name] for name in names] == [3, 4, 1, 2]
    text = generated.block("tabla-completas", "resultados/carrera-justa.py")
    assert text.count("sin correr") == len(fullsize.theirs()) - len(ran)
