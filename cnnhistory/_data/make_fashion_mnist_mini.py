"""Crea el subconjunto embebido de Fashion-MNIST a partir del completo.

    python -m cnnhistory._data.make_fashion_mnist_mini

Toma de cada clase las primeras 1000 imágenes de entrenamiento y las primeras 200 de prueba, en
su orden original, y anota sus índices. El gzip se escribe sin nombre ni fecha: dos ejecuciones
dan los mismos bytes.
"""

import gzip
import hashlib
import json
import struct
from pathlib import Path

import numpy as np

from cnnhistory.data import fashion_mnist

DESTINATION = Path(__file__).parent / "fashion-mnist-mini"
PER_CLASS = {"train": 1_000, "t10k": 200}


def write_idx(path: Path, array: np.ndarray) -> str:
    """Escribe el arreglo como IDX comprimido y devuelve la SHA-256 de lo que comprime."""
    code = {"uint8": 0x08, "int32": 0x0C}[array.dtype.name]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Escribe los seis archivos y el manifiesto con su origen y sus huellas."""
    DESTINATION.mkdir(exist_ok=True)
    digests = {}
    for part, dataset in zip(PER_CLASS, fashion_mnist("full"), strict=True):
        labels = dataset.labels.numpy()
        chosen = [np.flatnonzero(labels == label)[: PER_CLASS[part]] for label in range(10)]
        indices = np.sort(np.concatenate(chosen))
        for name, array in (
            (f"{part}-images-idx3-ubyte.gz", dataset.images.numpy()[indices, 0]),
            (f"{part}-labels-idx1-ubyte.gz", labels[indices].astype(np.uint8)),
            (f"{part}-indices-idx1-int.gz", indices.astype(np.int32)),
        ):
            digests[name] = write_idx(DESTINATION / name, array)
    manifest = {
        "conjunto": "Fashion-MNIST: 1000 imágenes de entrenamiento y 200 de prueba por clase",
        "regla": "las primeras de cada clase, en su orden original; índices en *-indices-*",
        "origen": "paquete de Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1",
        "autores": "Han Xiao, Kashif Rasul y Roland Vollgraf (Zalando SE), 2017",
        "articulo": "https://arxiv.org/abs/1708.07747",
        "licencia": "MIT, © 2017 Zalando SE (LICENSE, en esta carpeta)",
        "sha256_sin_comprimir": digests,
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=2)
    (DESTINATION / "manifest.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
