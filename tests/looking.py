"""Lo que comparten las pruebas de mirar por dentro: redes, una que falla y el estado de cada una."""

import torch
from torch import nn

from cnnhistory import inspection, models
from cnnhistory.models.senet import SqueezeExcitation

# Todas las minis y unas cuantas redes fieles, con la imagen más pequeña que deja algún mapa al final.
SMALL = {
    **{
        name: card.input_shape
        for name, card in models.CATALOG.items()
        if name.endswith("_mini") or name.startswith("lenet5")
    },
    "nin": (3, 32, 32),
    "allcnn_c": (3, 32, 32),
    "resnet20": (3, 32, 32),
    "resnet18": (3, 64, 64),
    "seresnet50": (3, 64, 64),
    "googlenet": (3, 64, 64),
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


class Unfolded(nn.Module):
    """Una red hasta su última capa con posiciones, sin lo que tape el gradiente."""

    def __init__(self, model: nn.Module, last: str):
        super().__init__()
        self.model, self.maps = model.double().eval(), None
        for path, module in list(model.named_modules()):
            owner = model.get_submodule(path.rpartition(".")[0])
            if isinstance(module, nn.MaxPool2d):
                options = (module.kernel_size, module.stride, module.padding, module.ceil_mode)
                setattr(owner, path.rpartition(".")[2], nn.AvgPool2d(*options))
            if isinstance(module, SqueezeExcitation):  # la compuerta es un factor sin posiciones
                for parameter in module.parameters():
                    parameter.data.zero_()
            elif isinstance(module, nn.Conv2d):  # medias: los valores ni estallan ni se apagan
                module.weight.data.fill_(1 / module.weight[0].numel())
        model.get_submodule(last).register_forward_hook(self.keep)

    def keep(self, _module, _inputs, output):
        self.maps = output

    def forward(self, x):
        self.model.forward(x)
        return self.maps
