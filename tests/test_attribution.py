"""Qué parte de la imagen pesó: contra captum, contra cuentas a mano y sin tocar la red."""

import copy

import captum.attr
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from looking import SMALL, Breaks, last_maps, network, state_of
from torch import nn
from torch.nn import functional as F

from cnnhistory import attribution, models
from cnnhistory.models.resnet import ResidualBlock, ResNet

torch.set_num_threads(1)

# Avisos de captum, el oráculo, sobre lo que él hace con las imágenes y las ReLU.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
    pytest.mark.filterwarnings("ignore:Setting forward, backward hooks and attributes"),
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU"),
]

CLASSES = torch.tensor([6, 0, 3])


class WithModule(ResidualBlock):
    """El bloque residual con su última ReLU como capa, que es lo único que captum sabe guiar."""

    def __init__(self, *args):
        super().__init__(*args)
        self.rectifier = nn.ReLU()

    def forward(self, x):
        return self.rectifier(self.residual(x) + self.shortcut(x))


@pytest.mark.parametrize("name", ["lenet5", "vgg_mini", "nin", "resnet20", "senet_mini"])
def test_saliency_is_captums(name):
    model, images = network(name)
    ours = attribution.saliency(model, images, CLASSES)
    theirs = captum.attr.Saliency(model.eval()).attribute(images, CLASSES)
    torch.testing.assert_close(ours, theirs.amax(1))
    assert ours.max() > 0


@pytest.mark.parametrize(
    "name", ["vgg_mini", "zfnet_mini", "allcnn_c", "densenet_mini", "googlenet_mini"]
)
def test_guided_backpropagation_is_captums(name):
    model, images = network(name)
    ours = attribution.guided_backpropagation(model, images, CLASSES)
    torch.testing.assert_close(ours, captum_guided(model, images), rtol=1e-4, atol=1e-7)
    assert ours.abs().max() > 0


def captum_guided(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return captum.attr.GuidedBackprop(copy.deepcopy(model).eval()).attribute(images, CLASSES)


def test_guided_backpropagation_reaches_a_functional_relu():
    torch.manual_seed(0)
    stages = ((1, 64), (1, 128))
    model, twin = ResNet(ResidualBlock, stages), ResNet(WithModule, stages)
    twin.load_state_dict(model.state_dict())
    images = torch.randn(3, 3, 32, 32)
    ours = attribution.guided_backpropagation(model, images, CLASSES)
    torch.testing.assert_close(ours, captum_guided(twin, images), rtol=1e-4, atol=1e-7)
    # Con la ReLU suelta, captum la deja pasar como un gradiente cualquiera.
    assert not torch.allclose(ours, captum_guided(model, images), rtol=1e-2)


@pytest.mark.parametrize("functional", [F.relu, torch.relu, torch.relu_, torch.Tensor.relu_])
def test_every_way_to_write_a_relu_is_guided_alike(functional):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 8, 3), nn.Linear(8, 3)
            self.inner = nn.Conv2d(8, 8, 3)

        def forward(self, x):
            return self.last(self.rectify(self.inner(self.rectify(self.first(x)))).mean((2, 3)))

    torch.manual_seed(0)
    model, images = Net(), torch.randn(3, 1, 9, 9)
    Net.rectify = staticmethod(functional)
    ours = attribution.guided_backpropagation(model, images, 1)
    Net.rectify = staticmethod(nn.ReLU(inplace=True))
    torch.testing.assert_close(attribution.guided_backpropagation(model, images, 1), ours)
    assert not torch.allclose(ours[:, 0].abs(), attribution.saliency(model, images, 1))


@pytest.mark.parametrize(
    "name", ["lenet5_modern", "vgg_mini", "resnet20", "densenet_mini", "lenet5"]
)
def test_grad_cam_is_captums(name):
    model, images = network(name)
    layer = last_maps(name)
    ours = attribution.grad_cam(model, images, layer, CLASSES)
    oracle = LayerGradCam(model.eval(), model.get_submodule(layer))
    coarse = oracle.attribute(images, CLASSES, relu_attributions=True)
    theirs = LayerAttribution.interpolate(coarse, tuple(images.shape[2:]), "bilinear")[:, 0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)
    assert ours.shape == (3, *images.shape[2:])
    assert ours.max() > 0


@pytest.mark.parametrize(("size", "stride", "fill"), [(4, 2, 0.0), (5, 5, 1.5), (7, 3, -1.0)])
def test_occlusion_is_captums(size, stride, fill):
    model, images = network("lenet5_bn")
    ours = attribution.occlusion(model, images, CLASSES, size=size, stride=stride, fill=fill)
    theirs = captum.attr.Occlusion(model.eval()).attribute(
        images,
        target=CLASSES,
        sliding_window_shapes=(1, size, size),
        strides=(1, stride, stride),
        baselines=fill,
    )
    torch.testing.assert_close(ours, theirs[:, 0], rtol=1e-4, atol=1e-5)


def test_occlusion_by_hand():
    """Una «red» que suma píxeles: tapar quita lo que había, y un píxel de un solo cuadro, lo suyo."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    model[1].weight.data = torch.stack([torch.ones(16), -torch.arange(16.0)])
    image = torch.arange(16.0).view(1, 1, 4, 4)
    lost = attribution.occlusion(model, image, 0, size=2, stride=2)
    assert lost[0].tolist() == [[10, 10, 18, 18]] * 2 + [[42, 42, 50, 50]] * 2
    assert attribution.occlusion(model, image, 1, size=1, stride=1)[0, 3, 3] == -(15**2)


METHODS = {
    "saliency": lambda model, images, layer, **options: attribution.saliency(
        model, images, **options
    ),
    "guided": lambda model, images, layer, **options: attribution.guided_backpropagation(
        model, images, **options
    ),
    "grad_cam": attribution.grad_cam,
    "occlusion": lambda model, images, layer, **options: attribution.occlusion(
        model, images, size=max(images.shape[2:]) // 2, stride=max(images.shape[2:]) // 2, **options
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_network_is_looked_at_and_left_as_it_was(name):
    model, images = network(name)
    layer, before = last_maps(name), state_of(model)
    for method in METHODS.values():
        shape = method(model, images, layer).shape
        assert (shape[0], *shape[-2:]) == (3, *images.shape[2:])
        assert state_of(model) == before


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_network_that_breaks_is_left_as_it_was(method):
    model = Breaks()
    images, before = torch.rand(4, 1, 8, 8), state_of(model)
    with pytest.raises(KeyError, match="a propósito"):
        method(model, images, "first", batch_size=2)
    assert model.passes == 2
    assert state_of(model) == before


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_each_image_goes_its_own_way(method):
    model, images = network("resnet_mini")
    layer = "stages.1.0.residual.0.0"
    together = method(model, images, layer, classes=CLASSES)
    for batch_size in (1, 2):
        apart = method(model, images, layer, classes=CLASSES, batch_size=batch_size)
        torch.testing.assert_close(apart, together, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        method(model, images[:1], layer, classes=6), together[:1], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_without_a_class_it_is_the_preferred_one(method):
    model, images = network("vgg_mini")
    preferred = copy.deepcopy(model).eval()(images).argmax(1)
    for context in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with context():
            ours = method(model, images, "blocks.1.0")
        torch.testing.assert_close(ours, method(model, images, "blocks.1.0", classes=preferred))
        assert not ours.requires_grad


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (7, "la red tiene las clases 0 a 6; llegaron de 7 a 7"),
        (-1, "la red tiene las clases 0 a 6; llegaron de -1 a -1"),
        (torch.tensor([0, 1]), r"las clases deben ser 3 enteros, uno por imagen; llegó \(2,\)"),
        (torch.zeros(3), "las clases deben ser 3 enteros"),
    ],
)
def test_classes_out_of_range_are_refused(method, classes, message):
    model, images = network("vgg_mini")
    with pytest.raises(ValueError, match=message):
        method(model, images, "blocks.1.0", classes=classes)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("shape", [(3, 3, 28, 28), (3, 1, 9, 9), (1, 28, 28), (0, 1, 28, 28)])
def test_images_of_another_network_are_refused(method, shape):
    model = models.create("vgg_mini")
    with pytest.raises(ValueError, match=r"vgg_mini recibe imágenes|se esperaban imágenes"):
        method(model, torch.rand(shape), "blocks.1.0")


def test_a_layer_without_maps_has_no_grad_cam():
    model, images = network("vgg_mini")
    with pytest.raises(
        ValueError, match=r"necesita mapas, y de la capa «classifier.1» sale \(128,\)"
    ):
        attribution.grad_cam(model, images, "classifier.1")
    with pytest.raises(ValueError, match=r"no tiene la capa «block.1»; ¿quisiste decir blocks.1"):
        attribution.grad_cam(model, images, "block.1")


@pytest.mark.parametrize(("size", "stride"), [(0, 1), (29, 1), (4, 0), (4, 5)])
def test_a_square_that_does_not_cover_is_refused(size, stride):
    model, images = network("vgg_mini")
    with pytest.raises(ValueError, match="el cuadro debe caber en la imagen de 28×28"):
        attribution.occlusion(model, images, size=size, stride=stride)


def test_a_network_without_scores_is_refused():
    with pytest.raises(ValueError, match=r"puntuaciones \(N, clases\); dio \(2, 4, 6, 6\)"):
        attribution.saliency(nn.Conv2d(1, 4, 3), torch.rand(2, 1, 8, 8))
