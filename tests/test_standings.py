"""La carrera grabada y el rendimiento medido: lo que las páginas dicen de ellos es lo que hay."""

import dataclasses
import re
import statistics

import charts
import fullsize
import generated
import performance
import pytest
import recipes
import standings
import torch

from cnnhistory import eras, experiment, inspection, models, race
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


@pytest.mark.parametrize(
    "folder", ["carrera", "completas", "completas/*/", "lista", "largas/*", "recetas/*"]
)
def test_what_the_logs_count_is_the_network_that_ran(folder):
    for place in standings.FOLDER.parent.glob(folder):
        for run in race.load(place):
            name, side = run.recipe["name"], run.recipe["side"]
            with torch.device("meta"):
                net = models.create(name, num_classes=10, in_channels=1)
            side = side or CATALOG[name].input_shape[1]
            assert run.parameters == inspection.count_parameters(net)
            assert run.macs == inspection.count_macs(net, (1, side, side))


def test_the_recorded_race_takes_what_the_page_says(runs):
    hours = sum(run.seconds for run in runs) / 3600
    assert round(2 * hours) / 2 == 2.5  # «unas dos horas y media»
    assert all("1 hilo" in run.machine for run in runs)  # «en un solo núcleo»


def test_progress_is_not_chronological(table):
    for later in ("alexnet_mini", "nin_mini", "allcnn_mini"):
        assert table["lenet5_modern"].top1 > table[later].top1
    assert CATALOG["lenet5_modern"].year < CATALOG["alexnet_mini"].year


def test_normalization_and_shortcuts_go_first(runs, table):
    first = list(table)[:3]
    assert set(first) == {"resnet_mini", "densenet_mini", "senet_mini"}
    resnets = [run.test.top1 for run in runs if run.recipe["name"] == "resnet_mini"]
    # «sus medias distan menos que dos semillas de una misma ResNet»
    assert table[first[0]].top1 - table[first[2]].top1 < max(resnets) - min(resnets)
    assert table["vgg_mini"].top1 > table["lenet5_modern"].top1
    resnext, vgg = table["resnext_mini"], table["vgg_mini"]
    assert abs(resnext.top1 - vgg.top1) < vgg.deviation  # «empata con VGG»
    assert resnext.macs < vgg.macs  # «hace menos que VGG y tarda casi el doble»
    assert 1.7 < resnext.seconds / vgg.seconds < 2
    assert table["lenet5"].macs < table["lenet5_modern"].macs
    assert table["lenet5"].seconds > table["lenet5_modern"].seconds


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
        kinds = [kind for kind in performance.LOGS if key in performance.log(kind)]
        assert "con" in kinds
        for line, kind in zip(lines, kinds, strict=True):
            row = performance.log(kind)[key]
            assert f"| {charts.number(row['ratio'])} |" in line
            assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]


def test_what_the_page_says_of_performance():
    fast, slow = performance.log("con"), performance.log("sin")
    assert fast["bf16"]
    assert not slow["bf16"]
    assert 1 < slow["resnet18_96"]["ratio"] < 1.5  # «gana poco»
    assert 2.9 < fast["resnet18_96"]["ratio"] < 3.3  # «la tercera parte»
    for log in (fast, slow):
        assert log["lenet_28"]["ratio"] > 2  # «gana mucho»
        assert log["compose_28"]["ratio"] > 10
        assert log["words_28"]["ratio"] > 5
        assert 0.9 < log["grad_cam_28"]["ratio"] < 1.3  # «casi un empate»
        for key in performance.SCORES:
            assert log[key]["cnnhistory"] > log[key]["d2l"]
        assert log["lenet_28_top1"]["images"] == 60_000  # «el capítulo de LeNet tal cual»
        assert log["lenet_28_top1"]["epochs"] == 10
    # «a color la razón baja», y sigue siendo de más de diez
    for grey, color in (("compose_28", "crop_flip_32"), ("color_28", "color_32")):
        assert fast[grey]["ratio"] > fast[color]["ratio"] > 10
    # «aprende lo mismo que sin él»
    learned = [log["lenet_28_top1"]["cnnhistory"] for log in (fast, slow)]
    assert abs(learned[0] - learned[1]) < 0.005
    lenet, resnet, alexnet = (fast[key] for key in performance.SETTINGS)
    assert lenet["ratio"] > 1.05  # «gana algo»
    assert 0.8 < resnet["ratio"] < 1.1  # «no gana nada»
    assert 1.5 < alexnet["ratio"] < 2  # «más de un tercio del tiempo», y menos de la mitad
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


def test_every_network_ran_with_the_three_recipes_the_same_seeds_and_budget():
    budget = ("dataset", "subset", "epochs", "batch_size")
    own = {name: {} for name in recipes.runs()}
    for name, runs in recipes.runs().items():
        for run in runs:
            assert not run.error
            own[name].setdefault(run.recipe["name"], set()).add(run.recipe["seed"])
    assert own["articulo"] == own["vgg"] == own["hoy"]
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
    for run in recipes.runs()["vgg"]:
        theirs = experiment.Experiment("vgg_mini", batch_size=64).as_published().recipe()
        own = {"name": run.recipe["name"], "seed": run.recipe["seed"]}
        assert run.recipe == theirs | own
    for run in recipes.runs()["hoy"]:
        recipe = run.recipe
        assert (recipe["optimizer"], recipe["schedule"]) == ("nesterov", "one_cycle")
        assert (recipe["augment"], recipe["label_smoothing"]) == ("crop_flip", 0.1)
        assert recipe["initialization"] is None
        assert recipe["lr"] == CATALOG[recipe["name"]].lr


def test_what_the_page_says_of_recipes():
    pairs = {pair.name: pair for pair in recipes.pairs()}
    assert recipes.spread("paper") > 5 * recipes.spread("today")  # «varias veces más»
    assert recipes.spread("vgg") > 3 * recipes.spread("today")  # «también varias veces más»
    for name in ("alexnet_mini", "zfnet_mini"):  # «no despiertan»
        assert abs(pairs[name].paper.top1 - 0.1) < 0.03
    alexnet, vgg = (dataclasses.asdict(eras.ERAS[f"{name}_mini"]) for name in ("alexnet", "vgg"))
    changed = {key for key in vgg if alexnet[key] != vgg[key]}
    assert changed == {"initialization", "source"}  # «solo se distinguen en los pesos»
    born = pairs["alexnet_mini"]
    assert born.vgg.top1 > 2 / 3
    assert (
        born.vgg.top1 - born.paper.top1 > born.today.top1 - born.vgg.top1
    )  # «más que todo lo demás»
    lenet = [run.test.top1 for run in recipes.runs()["articulo"] if run.recipe["name"] == "lenet5"]
    assert [round(100 * score) for score in (min(lenet), max(lenet))] == [16, 53]
    residual = {"resnet_mini", "resnext_mini", "densenet_mini", "senet_mini"}
    first = sorted(pairs, key=lambda name: -pairs[name].vgg.top1)[:5]
    assert set(first) == residual | {"lenet5_modern"}  # «las cinco primeras»
    lost = {name: 100 * (pair.today.top1 - pair.vgg.top1) for name, pair in pairs.items()}
    kept = [lost.pop(name) for name in first]
    assert (round(min(kept)), round(max(kept))) == (3, 6)
    assert 6.5 < min(lost.values()) < 7  # «de casi siete a cerca de cincuenta»
    assert 48 < max(lost.values()) < 50
    densenet = pairs.pop("densenet_mini")
    assert densenet.gain < -densenet.paper.deviation - densenet.today.deviation
    rest = [row.top1 for pair in pairs.values() for row in (pair.paper, pair.vgg, pair.today)]
    assert densenet.paper.top1 > max(*rest, densenet.today.top1)


def test_the_table_of_recipes_has_every_network_and_its_logs():
    html = generated.block("tabla-recetas", "resultados/carrera-justa.py")
    assert html.count("<tr><td>") == len(recipes.pairs())
    links = re.findall(r'href="\.\./\.\./(resultados/recetas/[\w/-]+\.json)"', html)
    assert len(links) == sum(map(len, recipes.runs().values()))
    assert all((standings.FOLDER.parent.parent / link).exists() for link in links)
    text = generated.block("recetas-de-articulo", "resultados/carrera-justa.py")
    assert all(f"- `{name}`: " in text for name in eras.ERAS)


def test_every_full_network_reaches_the_curve_of_d2l():
    ran = fullsize.ours("completas")
    assert set(ran) == {row["red"] for row in fullsize.theirs()}
    for row in fullsize.theirs():
        gap = ran[row["red"]].top1 - float(row["acierto"])
        if row["red"] == "nin_imagenet":
            assert 0 < gap < 0.005  # «por encima, pero por menos que el error de leer la curva»
            (first,) = race.load(fullsize.RESULTS / "completas/cuatro-epocas")
            assert (first.recipe["epochs"], first.recipe["schedule"]) == (4, "one_cycle")
            assert round(100 * (first.test.top1 - float(row["acierto"]))) == -1  # «a un punto»
        else:
            assert gap > 0.005
    epochs = {}
    for run in race.load(fullsize.RESULTS / "completas"):
        assert (run.recipe["subset"], run.recipe["augment"]) == ("full", None)
        assert run.recipe["clip_norm"] in (None, 1.0)
        assert (run.recipe["batch_size"], run.recipe["weight_decay"]) == (128, 5e-4)
        assert run.recipe["epochs"] <= 10
        epochs[run.recipe["name"]] = run.recipe["epochs"]
        assert (run.recipe["schedule"] == "cosine") == (run.recipe["name"] == "nin_imagenet")
    # «en cuatro épocas…, también…, en tres; y…, en una…, en cinco»
    for name, told in (
        *(("vgg11_quarter", 4), ("googlenet", 4), ("resnet18", 3), ("alexnet_owt", 3)),
        *(("densenet121", 1), ("nin_imagenet", 5)),
    ):
        assert epochs[name] == told
    text = generated.block("tabla-completas", "resultados/carrera-justa.py")
    assert len(re.findall(r"\(completas/[\w-]+\.json\)", text)) == len(
        race.load(fullsize.RESULTS / "completas")
    )


def test_of_the_list_two_arrive():
    for row in fullsize.listed():
        own = fullsize.ours(row["carpeta"])[row["red"]]
        assert (own.top1 > float(row["acierto"])) == (row["red"] in ("vgg_mini", "alexnet_owt"))
        runs = race.load(fullsize.RESULTS / row["carpeta"])
        (run, *_) = [each for each in runs if each.recipe["name"] == row["red"]]
        minutes = sum(epoch.seconds for epoch in run.history) / 60
        if row["red"] == "resnet18":
            assert round(100 * (float(row["acierto"]) - own.top1)) == 1  # «a un punto»
            told = ("epochs", 18), ("augment", "crop_flip"), ("side", 64)
            assert all(run.recipe[key] == value for key, value in told)
        elif row["red"] == "alexnet_owt":
            assert (run.recipe["epochs"], run.recipe["augment"], own.runs) == (5, None, 1)
        elif row["red"] != "vgg_mini":
            assert 1 <= run.recipe["epochs"] <= 4
            assert run.recipe["augment"] is None
            assert minutes <= 60
    text = generated.block("tabla-lista", "resultados/carrera-justa.py")
    assert sum(
        "El nuestro" not in line and line.startswith("| ") for line in text.splitlines()
    ) == 1 + len(fullsize.listed())
    assert text.count("(lista/") == len(race.load(fullsize.RESULTS / "lista"))


def test_what_the_page_takes_from_performance():
    """«con la nuestra, la red de d2l gana más de diez puntos», más de la mitad de la ventaja."""
    row = performance.log("con")["lenet_28_top1"]
    assert row["cnnhistory"] - row["d2l"] > 0.1
    lenet = fullsize.ours("completas")["lenet5_modern"].top1
    assert row["cnnhistory"] - row["d2l"] > (lenet - row["d2l"]) / 2
