"""Con qué pesos nace una red: que la señal no se apague ni estalle con la profundidad.

Las redes del catálogo nacen con la inicialización de He (2015), salvo donde su artículo da otra.

K. He, X. Zhang, S. Ren y J. Sun, «Delving Deep into Rectifiers: Surpassing Human-Level
Performance on ImageNet Classification», ICCV 2015. https://arxiv.org/abs/1502.01852

Una ReLU apaga la mitad de lo que recibe y con ello la mitad de la varianza; unos pesos de
varianza 2/F, con F las entradas de la unidad, la devuelven. Antes se elegía una desviación a ojo
(`gaussian`) o la de Glorot y Bengio (2010), pensada para la tangente (`xavier_uniform`).
"""

from torch import nn

__all__ = ["gaussian", "he_normal", "xavier_uniform"]


def he_normal(model: nn.Module) -> None:
    """Reinicia, en su sitio, cada convolución y cada densa: pesos N(0, 2/F) y sesgos 0.

    La última, si es densa, nace con N(0, 0.01), como en AlexNet y VGG: así la red empieza sin
    preferir ninguna clase, con una pérdida de ln(clases). Las redes que terminan en una
    convolución con ReLU (NiN, All-CNN) no: con puntuaciones casi nulas no aprenderían.

    Args:
        model: La red.
    """
    layers = _weighted(model)
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if isinstance(layers[-1], nn.Linear):
        nn.init.normal_(layers[-1].weight, std=0.01)


def gaussian(model: nn.Module, std: float, like: nn.Module) -> None:
    """Reinicia, en su sitio, cada convolución y cada densa como las de otra red más ancha.

    La misma desviación apaga más la señal cuanto más angosta es la capa, porque suma menos
    entradas. Para que llegue la que llegaba en la otra, cada desviación se multiplica por
    √(F′/F), con F las entradas de una unidad y F′ las de esa capa en ``like``. Los sesgos son 0.

    Args:
        model: La red.
        std: Desviación de los pesos en ``like``, igual en todas sus capas.
        like: La red que se imita, con las mismas capas; puede estar en el dispositivo ``meta``.

    Raises:
        ValueError: Si las redes no tienen las mismas capas.
    """
    for layer, other in zip(_weighted(model), _weighted(like), strict=True):
        scale = other.weight[0].numel() / layer.weight[0].numel()
        nn.init.normal_(layer.weight, std=std * scale**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def xavier_uniform(model: nn.Module) -> None:
    """Reinicia, en su sitio, cada convolución y cada densa con la uniforme de Glorot.

    X. Glorot e Y. Bengio, «Understanding the difficulty of training deep feedforward neural
    networks», AISTATS 2010. https://proceedings.mlr.press/v9/glorot10a.html

    Args:
        model: La red.
    """
    for layer in _weighted(model):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _weighted(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
