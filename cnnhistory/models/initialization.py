"""La inicialización de He (2015): que la señal no se apague ni estalle con la profundidad.

K. He, X. Zhang, S. Ren y J. Sun, «Delving Deep into Rectifiers: Surpassing Human-Level
Performance on ImageNet Classification», ICCV 2015. https://arxiv.org/abs/1502.01852

Una ReLU apaga la mitad de lo que recibe y con ello la mitad de la varianza; unos pesos de
varianza 2/F, con F las entradas de la unidad, la devuelven.
"""

from torch import nn

__all__ = ["he_normal"]


def he_normal(model: nn.Module) -> None:
    """Reinicia, en su sitio, cada convolución y cada densa: pesos N(0, 2/F) y sesgos 0.

    La última, si es densa, nace con N(0, 0.01), como en AlexNet y VGG: así la red empieza sin
    preferir ninguna clase, con una pérdida de ln(clases). Las redes que terminan en una
    convolución con ReLU (NiN, All-CNN) no: con puntuaciones casi nulas no aprenderían.

    Args:
        model: La red.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if isinstance(layers[-1], nn.Linear):
        nn.init.normal_(layers[-1].weight, std=0.01)
