"""Las figuras: que dibujen los datos que se les dan, legibles sobre claro y sobre oscuro."""

import itertools

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from cnnhistory import inspection, models, plotting
from cnnhistory.training import Epoch

torch.set_num_threads(1)

HISTORY = [
    Epoch(1, 1.5, 1.2, 0.5, 0.9, 2.0, 100.0),
    Epoch(2, 1.0, 0.8, 0.7, 0.95, 2.0, 100.0),
    Epoch(3, 0.6, 0.7, 0.75, 0.97, 2.0, 100.0),
]


@pytest.fixture(autouse=True)
def _close_figures():
    settings = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == settings  # el estilo no se escapa de su contexto
    plt.close("all")


def luminance(color: str) -> float:
    channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(channels, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("color", [plotting.INK, *plotting.PALETTE])
def test_colours_are_seen_on_white_and_on_near_black(color):
    # WCAG 1.4.11: 3 a 1 para lo que no es texto; la tinta además la recolorea el sitio.
    threshold = 2.7 if color == plotting.PALETTE[1] else 3
    assert contrast(color, "#ffffff") >= threshold
    assert contrast(color, "#14161a") >= 3 or color == plotting.INK


def pictures(figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for axis in figure.axes for image in axis.images]


def test_image_grid_shows_the_pixels_it_is_given():
    images = torch.arange(5 * 4 * 3, dtype=torch.uint8).view(5, 1, 4, 3)
    figure = plotting.image_grid(images, titles=list("abcde"), columns=3)
    assert len(figure.axes) == 6  # dos filas de tres: la última celda queda vacía
    shown = pictures(figure)
    assert len(shown) == 5
    for picture, image in zip(shown, images[:, 0], strict=True):
        np.testing.assert_allclose(picture, image.numpy() / 255, rtol=1e-6)
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", "d", "e", ""]
    assert not any(axis.axison for axis in figure.axes)
    assert figure.get_facecolor()[3] == 0
    assert all(image.get_clim() == (0, 1) for axis in figure.axes for image in axis.images)


def test_image_grid_stretches_floats_one_by_one_and_takes_colour():
    images = torch.stack([torch.linspace(-2, 6, 12), torch.linspace(0, 0.1, 12)]).view(2, 3, 4)
    for picture in pictures(plotting.image_grid(images)):
        assert (picture.min(), picture.max()) == (0, pytest.approx(1))
    flat = pictures(plotting.image_grid(torch.full((1, 2, 2), 3.0)))[0]
    assert np.isfinite(flat).all()
    colour = torch.rand(2, 3, 4, 5, requires_grad=True)
    assert [p.shape for p in pictures(plotting.image_grid(colour))] == [(4, 5, 3)] * 2


def test_heatmaps_share_one_scale_and_tell_the_signs_apart():
    images = torch.zeros(3, 1, 2, 2)
    images[:, :, 1, 1] = 1
    maps = torch.zeros(3, 2, 2)
    maps[0, 0, 0], maps[1, 0, 0], maps[2, 0, 0] = 4.0, -2.0, 0.04
    strong, negative, weak = pictures(plotting.heatmaps(images, maps, list("abc")))
    assert np.allclose(strong[0, 0], to_rgb(plotting.PALETTE[1]), atol=0.01)
    assert np.allclose(2 * negative[0, 0], to_rgb(plotting.PALETTE[0]), atol=0.02)
    assert weak[0, 0].max() <= 3 / 255  # un mapa cien veces menor apenas tiñe
    assert np.allclose(strong[1, 1], 178 / 255)  # sin mapa, la imagen en gris, al 70 %
    with pytest.raises(ValueError, match=r"un mapa \(N, H, W\) por imagen"):
        plotting.heatmaps(images, maps[:2])


@pytest.mark.parametrize("shape", [(4, 4), (2, 2, 4, 4), (0, 4, 4), (1, 1, 1, 4, 4), (0, 3, 4, 4)])
def test_image_grid_refuses_what_are_not_images(shape):
    with pytest.raises(ValueError, match="se esperaban imágenes"):
        plotting.image_grid(torch.zeros(shape))


def test_image_grid_refuses_titles_that_do_not_match():
    with pytest.raises(ValueError, match="hay 2 imágenes y 1 títulos"):
        plotting.image_grid(torch.zeros(2, 4, 4), titles=["uno"])


def test_curves_draw_the_history():
    figure = plotting.curves(HISTORY, label="LeNet-5")
    loss, accuracy = figure.axes
    drawn = {line.get_label(): line for line in loss.lines}
    assert list(drawn["entrenamiento"].get_ydata()) == [1.5, 1.0, 0.6]
    assert list(drawn["validación"].get_ydata()) == [1.2, 0.8, 0.7]
    assert list(drawn["validación"].get_xdata()) == [1, 2, 3]
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [50, 70, 75])
    assert figure.get_suptitle() == "LeNet-5"
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("época", "entropía cruzada (nats)")
    assert accuracy.get_ylabel() == "%"
    # Las series no se distinguen solo por el color.
    assert len({line.get_marker() for line in loss.lines}) == 2
    assert len({line.get_color() for line in loss.lines}) == 2
    assert [text.get_text() for text in loss.get_legend().get_texts()] == [*drawn]
    assert all(float(tick).is_integer() for tick in loss.get_xticks())
    assert plotting.curves(HISTORY[:1]).get_suptitle() == ""


def test_curves_of_nothing_are_refused():
    with pytest.raises(ValueError, match="la historia está vacía"):
        plotting.curves([])


def test_confusion_matrix_by_hand():
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    predictions = torch.tensor([0, 0, 0, 1, 1, 0])
    figure = plotting.confusion_matrix(labels, predictions, ("gato", "perro", "pez"))
    (axis,) = figure.axes
    np.testing.assert_allclose(axis.images[0].get_array(), [[75, 25, 0], [50, 50, 0], [0, 0, 0]])
    texts = {text.get_position(): text.get_text() for text in axis.texts}
    assert texts == {(0, 0): "75", (1, 0): "25", (0, 1): "50", (1, 1): "50"}
    assert [t.get_text() for t in axis.get_xticklabels()] == ["gato", "perro", "pez"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["gato", "perro", "pez"]
    assert axis.get_ylabel() == "lo que era"
    strong = next(text for text in axis.texts if text.get_text() == "75")
    weak = next(text for text in axis.texts if text.get_text() == "25")
    assert (strong.get_color(), weak.get_color()) == ("white", plotting.INK)


@pytest.mark.parametrize(
    ("labels", "predictions", "expected"),
    [
        ([0, 1], [0], "misma longitud"),
        ([], [], "misma longitud"),
        ([[0]], [[0]], "misma longitud"),
        ([0, 2], [0, 1], "fuera de las 2 clases"),
        ([0, 1], [0, -1], "fuera de las 2 clases"),
    ],
)
def test_confusion_matrix_refuses_what_does_not_match(labels, predictions, expected):
    with pytest.raises(ValueError, match=expected):
        plotting.confusion_matrix(
            torch.tensor(labels).long(), torch.tensor(predictions).long(), ("a", "b")
        )


@pytest.mark.parametrize("name", ["lenet5", "alexnet_mini", "alexnet"])
def test_data_flow_draws_every_change_of_shape_to_scale(name):
    card = models.CATALOG[name]
    with torch.device("meta"):
        model = models.create(name)
    rows = inspection.shape_table(model, card.input_shape)
    figure = plotting.data_flow(rows, card.input_shape)
    (axis,) = figure.axes
    blocks = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    texts = [text.get_text() for text in axis.texts]
    assert texts[:2] == ["entrada", "×".join(map(str, card.input_shape))]
    for row in rows:
        if row.parameters:
            shape = "×".join(map(str, row.output_shape))
            assert f"{shape}  ·  {inspection.thousands(row.parameters)}" in texts
    assert texts.pop() == "lo que ve una posición"
    assert len(texts) == 2 * len(blocks)
    # El ancho es proporcional a la raíz del lado: la misma escala en todas las redes.
    shapes = [text.split("  ·  ")[0].split("×") for text in texts[1::2]]
    for block, shape in zip(blocks, shapes, strict=True):
        side = int(shape[-1]) if len(shape) == 3 else 1
        assert block.get_width() == pytest.approx(0.14 * side**0.5)
    # Un corchete bajo cada bloque, salvo la entrada, y otro en la leyenda.
    *brackets, _ = ([min(line.get_xdata()), max(line.get_xdata())] for line in axis.lines)
    assert len(brackets) == len(blocks) - 1
    entire = card.input_shape[-1]
    seen = {0.14 * min(row.receptive_field or entire, entire) ** 0.5 for row in rows}
    for left, right in brackets:
        assert left == -right
        assert any(right - left == pytest.approx(width) for width in seen)
    reaches = [right for _, right in brackets]
    assert reaches == sorted(reaches)  # cada capa ve lo mismo o más que la anterior
    assert reaches[-1] == pytest.approx(blocks[0].get_width() / 2)  # la última lo ve todo
    bottom, top = sorted(axis.get_ylim())
    for above, below in itertools.pairwise(blocks):
        assert below.get_y() + below.get_height() <= above.get_y()  # no se pisan
        assert bottom <= below.get_y()
        assert above.get_y() + above.get_height() <= top


def test_a_block_is_drawn_path_by_path():
    shortcut = plotting.Block([["convolución 3×3", "ReLU", "convolución 3×3"], []], "+")
    figure = plotting.blocks({"plano": plotting.Block([["pooling 2×2"]]), "residual": shortcut})
    plain, residual = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["plano", "residual"]
    assert [text.get_text() for text in plain.texts] == ["pooling 2×2"]
    texts = {text.get_text(): text.get_position() for text in residual.texts}
    assert list(texts) == ["convolución 3×3", "ReLU", "identidad", "+"]
    heights = [t.get_position()[1] for t in residual.texts[:3]]
    assert heights == sorted(heights, reverse=True)  # de la entrada, arriba, a la salida
    assert texts["identidad"][0] > texts["ReLU"][0] + 0.7  # en otra columna
    edges = [to_rgb(patch.get_edgecolor()) for patch in plain.patches if not patch.get_fill()]
    assert edges == [to_rgb(plotting.PALETTE[1])]  # el color de data_flow
    bottom, top = residual.get_ylim()
    assert all(bottom <= p.get_y() <= p.get_y() + p.get_height() <= top for p in residual.patches)


@pytest.mark.parametrize(
    ("diagrams", "message"),
    [
        ({}, "no hay bloques"),
        ({"vacío": plotting.Block([])}, "«vacío» tiene 0 caminos"),
        ({"x": plotting.Block([["ReLU"], []])}, "tiene 2 caminos y se junta con «»"),
        ({"x": plotting.Block([["ReLU"]], "+")}, "tiene 1 caminos"),
    ],
)
def test_blocks_that_cannot_be_drawn_are_refused(diagrams, message):
    with pytest.raises(ValueError, match=message):
        plotting.blocks(diagrams)


def test_style_gives_transparent_figures_and_restores():
    with plotting.style():
        figure, axis = plt.subplots()
        assert figure.get_facecolor()[3] == axis.get_facecolor()[3] == 0
        colors = [axis.plot([0, 1])[0].get_color() for _ in plotting.PALETTE]
    assert colors == list(plotting.PALETTE)


def painted(figure) -> np.ndarray:
    """Los píxeles de un mapa de imágenes: ``(alto, ancho, 4)``."""
    (axis,) = figure.axes
    (picture,) = axis.images
    return np.asarray(picture.get_array())


def test_an_image_map_puts_each_image_in_its_place():
    positions = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    images[:, :, 1:3, 1:3] = torch.tensor([255, 51, 102], dtype=torch.uint8).view(3, 1, 1, 1)
    labels = torch.tensor([0, 1, 2])
    figure = plotting.image_map(positions, images, labels, ("a", "b", "c"), highlight=(2,))
    canvas = painted(figure)
    assert canvas.shape == (542, 272, 4)  # recortado a lo pintado, con la misma escala en los ejes
    spots = {(541, 0): (plotting.INK, 1.0), (541, 271): (plotting.INK, 0.2),
             (0, 0): (plotting.PALETTE[0], 0.4)}  # fmt: skip
    for (row, column), (color, alpha) in spots.items():
        np.testing.assert_allclose(canvas[row, column], [*to_rgb(color), alpha], atol=1e-6)
    assert (canvas[..., 3] > 0).sum() == 12  # lo oscuro es transparente
    (legend,) = [axis.get_legend() for axis in figure.axes]
    assert [text.get_text() for text in legend.get_texts()] == ["c"]


def test_an_image_map_keeps_the_brightest_where_images_overlap():
    images = torch.full((2, 1, 3, 3), 100, dtype=torch.uint8)
    images[1, 0, 1, 1] = 200
    for order in ([0, 1], [1, 0]):
        figure = plotting.image_map(
            torch.ones(2, 2), images[order], torch.tensor(order), ("a", "b"), highlight=(1,)
        )
        canvas = painted(figure)
        assert canvas.shape == (3, 3, 4)
        np.testing.assert_allclose(canvas[1, 1], [*to_rgb(plotting.PALETTE[0]), 200 / 255])
    plain = plotting.image_map(torch.ones(2, 2), images, torch.zeros(2), ("a",))
    assert plain.axes[0].get_legend() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": torch.ones(2, 3)}, r"posiciones \(N, 2\)"),
        ({"labels": torch.ones(3)}, r"etiquetas \(N,\)"),
        ({"images": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)}, r"uint8 \(2, 1, H, W\)"),
        ({"images": torch.zeros(2, 1, 4, 4)}, "torch.float32"),
        ({"images": torch.zeros(2, 1, 4, 4, dtype=torch.uint8)}, "ninguna imagen tiene tinta"),
        ({"highlight": range(7)}, "7 clases y hay 6 colores"),
    ],
)
def test_an_image_map_rejects_what_it_cannot_draw(change, message):
    arguments = {
        "positions": torch.ones(2, 2),
        "images": torch.ones(2, 1, 4, 4, dtype=torch.uint8),
        "labels": torch.tensor([0, 1]),
        "classes": tuple("abcdefg"),
        "highlight": (),
    }
    with pytest.raises(ValueError, match=message):
        plotting.image_map(**{**arguments, **change})
