"""La red, fuera de Python: un archivo ONNX, que corre en un navegador, un teléfono o C++."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cnnhistory import observation

__all__ = ["to_onnx"]


def to_onnx(
    model: nn.Module,
    path: str | Path,
    image_shape: tuple[int, int, int],
    classes: Sequence[str] = (),
) -> None:
    """Escribe la red en ONNX, el formato que entienden ``onnxruntime`` y los navegadores.

    La entrada se llama ``images``, ``(N, C, H, W)`` en ``float32``, con cualquier N; la salida,
    ``logits``, ``(N, clases)``. Para que reciba los píxeles tal cual, en [0, 1], dale la red con
    su normalización delante: ``nn.Sequential(normalize, model)``. Llevarlos a ese tamaño queda
    fuera.

    https://docs.pytorch.org/docs/stable/onnx.html

    Args:
        model: La red; queda en el modo en que estaba.
        path: El archivo. Si ya existe, solo lo reemplaza uno completo.
        image_shape: Forma de una imagen, ``(C, H, W)``.
        classes: Nombres de las clases, en orden; se guardan en el archivo, uno por línea, en el
            metadato ``classes``.

    Raises:
        ValueError: Si faltan los paquetes ``onnx`` y ``onnxscript``, la red no admite imágenes de
            esa forma, o no da un solo tensor ``(N, clases)``.
    """
    path = Path(path)
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError(
            "para escribir ONNX faltan dos paquetes: instálalos con pip install onnx onnxscript"
        ) from None
    images = torch.zeros(2, *image_shape, device=observation.device_of(model))
    with observation.undisturbed(model):
        scores = observation.run(model, images)
        if not isinstance(scores, torch.Tensor) or scores.ndim != 2:
            raise ValueError("la red debe dar un solo tensor, (N, clases)")
        program = torch.onnx.export(
            model,
            (images,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
        )
    assert program is not None  # solo lo es si se le da un archivo
    program.model.metadata_props["classes"] = "\n".join(classes)
    partial = path.with_name(path.name + ".partial")
    try:
        program.save(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
