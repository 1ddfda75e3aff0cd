"""Lo que comparten las pruebas de mirar por dentro: redes, una que falla y el estado de cada una."""

import torch
from torch import nn

from cnnhistory import inspection, models

# Todas las minis y unas cuantas redes fieles, con la imagen más pequeña que deja algún mapa al final.
SMALL = {
    **{
        name: card.input_shape
        for name, card in models.CATALOG.items()
        if name.endswith("_mini") or name.startswith("lenet5")
    },
    "one_conv": (3, 32, 32),
    "nin": (3, 32, 32),
    "allcnn_c": (3, 32, 32),
    "resnet20": (3, 32, 32),
    "resnet18": (3, 64, 64),
    "resnet50": (3, 64, 64),
    "resnext50_32x4d": (3, 64, 64),
    "seresnet50": (3, 64, 64),
    "googlenet": (3, 64, 64),
    "densenet121": (3, 64, 64),
    "alexnet_single": (3, 227, 227),
}


def network(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Una red con pesos al azar, en modo de entrenamiento, y tres imágenes al azar."""
    torch.manual_seed(0)
    model = models.create(name, num_classes=7).train()
    return model, torch.randn(3, *SMALL[name])


def last_maps(name: str) -> str:
    """La última convolución con más de una posición."""
    with torch.device("meta"):
        model = models.create(name)
    return [
        row.name
        for row in inspection.shape_table(model, SMALL[name])
        if "Conv" in row.kind and row.output_shape[1] > 1
    ][-1]


def state_of(model: nn.Module) -> tuple:
    """Todo lo que mirar una red no debe cambiar."""
    modules = list(model.modules())
    return (
        [module.training for module in modules],
        [
            len(hooks)
            for module in modules
            for hooks in (
                *(module._forward_hooks, module._forward_pre_hooks),
                *(module._backward_hooks, module._backward_pre_hooks),
            )
        ],
        [parameter.requires_grad for parameter in model.parameters()],
        [None if p.grad is None else p.grad.sum().item() for p in model.parameters()],
        [value.double().sum().item() for value in model.state_dict().values()],
        torch.get_rng_state().tolist(),
    )


class Breaks(nn.Module):
    """Falla a partir de la segunda imagen que ve."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout()
        self.last = nn.Linear(4, 3)
        self.norm.eval()
        self.first.bias.requires_grad_(False)
        self.first.weight.grad = torch.ones_like(self.first.weight)
        self.passes = 0

    def forward(self, x):
        """``(N, 1, H, W)`` → ``(N, 3)``, solo la primera vez."""
        maps = torch.relu(self.norm(self.first(x)))
        if not x.is_meta:  # contar posiciones no es mirar
            self.passes += 1
        if self.passes > 1:
            raise KeyError("se rompió a propósito")
        return self.last(self.drop(maps.mean((2, 3))))
