"""Los datos: contra el conjunto original, contra torchvision y contra archivos estropeados."""

import gzip
import hashlib
import json
import pickle
import shutil
import struct
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets
from torchvision.datasets.utils import download_and_extract_archive
from torchvision.transforms import v2

from cnnhistory import data
from cnnhistory._data import make_fashion_mnist_mini as make

torch.set_num_threads(1)

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def idx(array: np.ndarray) -> bytes:
    """El formato IDX, escrito aparte de quien lo lee."""
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def mini() -> tuple[data.Dataset, data.Dataset]:
    return data.fashion_mnist("mini")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Un Fashion-MNIST de mentira, más pequeño, con sus huellas."""
    folder, random = tmp_path_factory.mktemp("completo"), np.random.default_rng(0)
    digests = {}
    for name, count in zip(NAMES, (60, 60, 20, 20), strict=True):
        if "images" in name:
            content = idx(random.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        else:
            content = idx(np.arange(count, dtype=np.uint8) % 10)
        (folder / name).write_bytes(gzip.compress(content))
        digests[name] = hashlib.sha256(content).hexdigest()
    return folder, digests


@pytest.fixture
def places(monkeypatch, tmp_path, tree) -> Path:
    """Ningún lugar tiene los datos, y nadie puede descargar: cada prueba pone los suyos."""
    monkeypatch.setattr(data, "_FULL_SHA256", tree[1])
    monkeypatch.setattr(data, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch/hub"))
    monkeypatch.delenv("CNNHISTORY_DATA", raising=False)

    def offline(*_args, **_settings):
        raise OSError("sin red")

    for owner, name in (
        (datasets, "FashionMNIST"),
        (datasets, "MNIST"),
        (data, "download_and_extract_archive"),
    ):
        monkeypatch.setattr(owner, name, offline)
    return tmp_path


def copy(tree: tuple[Path, dict], destination: Path) -> Path:
    return Path(shutil.copytree(tree[0], destination))


# --- El subconjunto embebido ---------------------------------------------------------------------


def test_mini_is_complete_stratified_and_needs_nothing_else(mini, places):
    train, test = data.fashion_mnist()  # `places` quita la red y el disco
    assert train.images.shape == (10_000, 1, 28, 28)
    assert test.images.shape == (2_000, 1, 28, 28)
    assert train.labels.bincount().tolist() == [1_000] * 10
    assert test.labels.bincount().tolist() == [200] * 10
    assert train.classes == test.classes == data.FASHION_CLASSES
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert torch.equal(train.images, mini[0].images)


def test_mini_indices_are_increasing_and_inside_the_full_set():
    for indices, count, total in zip(
        data.mini_indices(), (10_000, 2_000), (60_000, 10_000), strict=True
    ):
        assert indices.dtype == torch.int64
        assert indices.shape == (count,)
        assert (indices.diff() > 0).all()
        assert 0 <= int(indices[0]) <= int(indices[-1]) < total


@pytest.mark.skipif(not (DEBIAN / NAMES[0]).exists(), reason="falta dataset-fashion-mnist")
def test_mini_is_the_same_indices_of_the_real_full_set(mini, monkeypatch):
    monkeypatch.delenv("CNNHISTORY_DATA", raising=False)
    full = data.fashion_mnist("full", root=DEBIAN)
    for small, big, indices in zip(mini, full, data.mini_indices(), strict=True):
        assert torch.equal(small.images, big.images[indices])
        assert torch.equal(small.labels, big.labels[indices])
        first = [(big.labels == label).nonzero()[:, 0][: len(indices) // 10] for label in range(10)]
        assert torch.equal(indices, torch.cat(first).sort().values)


def test_the_manifest_says_origin_licence_and_the_digest_of_every_file():
    folder = Path(data.__file__).parent / "_data/fashion-mnist-mini"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert "Debian" in manifest["origen"]
    assert "MIT" in manifest["licencia"]
    assert "MIT" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert {p.name for p in folder.glob("*.gz")} == set(manifest["sha256_sin_comprimir"])
    for name, digest in manifest["sha256_sin_comprimir"].items():
        content = gzip.decompress((folder / name).read_bytes())
        assert hashlib.sha256(content).hexdigest() == digest, name


def test_the_script_that_makes_the_subset_gives_the_first_of_each_class(
    monkeypatch, places, tmp_path, tree
):
    monkeypatch.setenv("CNNHISTORY_DATA", str(tree[0]))
    monkeypatch.setattr(make, "DESTINATION", tmp_path / "mini")
    monkeypatch.setattr(make, "PER_CLASS", {"train": 2, "t10k": 1})
    make.main()
    monkeypatch.setattr(data, "_MINI", tmp_path / "mini")
    small, full = data.fashion_mnist("mini"), data.fashion_mnist("full")
    assert [indices.tolist() for indices in data.mini_indices()] == [[*range(20)], [*range(10)]]
    for part, whole, indices in zip(small, full, data.mini_indices(), strict=True):
        assert torch.equal(part.images, whole.images[indices])
        assert torch.equal(part.labels, whole.labels[indices])


def test_a_damaged_installation_says_reinstall(monkeypatch, tmp_path):
    folder = Path(shutil.copytree(data._MINI, tmp_path / "mini"))
    monkeypatch.setattr(data, "_MINI", folder)
    images = folder / NAMES[0]
    images.write_bytes(images.read_bytes()[:-1000])
    with pytest.raises(data.DataError, match=rf"{images}.*truncado.*reinstala cnnhistory"):
        data.fashion_mnist("mini")
    images.unlink()
    with pytest.raises(data.DataError, match=rf"falta.*{images}.*reinstala cnnhistory"):
        data.fashion_mnist("mini")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(data.DataError, match=r"manifest\.json: reinstala cnnhistory"):
        data.fashion_mnist("mini")


def test_the_cat_is_a_colour_photo_that_says_where_it_comes_from():
    photo = data.cat()
    assert photo.shape == (3, 256, 256)
    assert photo.dtype == torch.uint8
    red, green, blue = photo.float().mean((1, 2))
    assert red > green + 20 > blue + 40  # el pelo pardo, en ese orden de canales
    assert photo.float().std((1, 2)).min() > 30
    manifest = json.loads(data._CAT.with_suffix(".json").read_text(encoding="utf-8"))
    assert "scikit-image" in manifest["origen"]
    assert "Stéfan van der Walt" in manifest["autor"]
    assert "CC0" in manifest["licencia"]
    assert hashlib.sha256(data._CAT.read_bytes()).hexdigest() == manifest["sha256"]
    assert data._CAT.stat().st_size < 30_000


def test_a_damaged_cat_says_reinstall(monkeypatch, tmp_path):
    photo, manifest = (
        Path(shutil.copy(path, tmp_path)) for path in (data._CAT, data._CAT.with_suffix(".json"))
    )
    monkeypatch.setattr(data, "_CAT", photo)
    photo.write_bytes(photo.read_bytes()[:-1000])
    with pytest.raises(data.DataError, match=rf"{photo} no tiene.*SHA-256.*reinstala cnnhistory"):
        data.cat()
    photo.unlink()
    with pytest.raises(data.DataError, match=rf"falta el archivo {photo}: reinstala cnnhistory"):
        data.cat()
    shutil.copy(Path(data.__file__).parent / "_data/chelsea.jpg", photo)
    manifest.unlink()
    with pytest.raises(data.DataError, match=r"chelsea\.json: reinstala cnnhistory"):
        data.cat()


def test_an_unknown_subset_is_refused():
    with pytest.raises(ValueError, match='«medio» no existe: elige "mini" o "full"'):
        data.fashion_mnist("medio")


# --- Archivos IDX --------------------------------------------------------------------------------

GOOD = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def test_read_idx_reads_bytes_and_big_endian_integers(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx(GOOD)))
    assert np.array_equal(data.read_idx(path), GOOD)
    assert np.array_equal(data.read_idx(str(path), hashlib.sha256(idx(GOOD)).hexdigest()), GOOD)
    numbers = bytes([0, 0, 0x0C, 1]) + struct.pack(">I3i", 3, 1, -2, 70_000)
    path.write_bytes(gzip.compress(numbers))
    assert data.read_idx(path).tolist() == [1, -2, 70_000]
    plain = tmp_path / "a-idx3-ubyte"
    plain.write_bytes(idx(GOOD))
    assert np.array_equal(data.read_idx(plain), GOOD)


def tampered() -> bytes:
    other = GOOD.copy()
    other[1, 2, 3] ^= 1
    return gzip.compress(idx(other))


def corrupted() -> bytes:
    compressed = bytearray(gzip.compress(idx(np.zeros((2, 3, 4), np.uint8))))
    compressed[-8] ^= 1  # el CRC del final
    return bytes(compressed)


def scrambled() -> bytes:
    compressed = bytearray(gzip.compress(np.random.default_rng(0).bytes(2_000)))
    compressed[10:14] = b"\xff\xff\xff\xff"  # un bloque deflate imposible
    return bytes(compressed)


BAD = {
    "gzip truncado": (gzip.compress(idx(GOOD))[:-12], "truncado o dañado por dentro"),
    "gzip cortado en la cabecera": (gzip.compress(idx(GOOD))[:5], "truncado o dañado por dentro"),
    "gzip con el CRC alterado": (corrupted(), "no es un archivo gzip, o está dañado"),
    "deflate imposible": (scrambled(), "truncado o dañado por dentro"),
    "no es gzip": (b"<html>404</html>", "no es un archivo gzip"),
    "vacío": (b"", "no es un archivo IDX"),
    "gzip de otra cosa": (gzip.compress(b"hola, mundo"), "no es un archivo IDX"),
    "gzip de casi nada": (gzip.compress(b"\0\0\x08"), "no es un archivo IDX"),
    "tipo desconocido": (gzip.compress(b"\0\0\x0d\x01" + idx(GOOD)[4:]), "no es un archivo IDX"),
    "encabezado cortado": (gzip.compress(idx(GOOD)[:9]), "se corta dentro de su encabezado"),
    "datos de menos": (gzip.compress(idx(GOOD)[:-1]), r"forma \(2, 3, 4\) y trae 23 bytes"),
    "datos de más": (gzip.compress(idx(GOOD) + b"x"), r"forma \(2, 3, 4\) y trae 25 bytes"),
    "un píxel cambiado": (tampered(), "no tiene el contenido esperado.*SHA-256"),
    "otro conjunto": (gzip.compress(idx(GOOD.reshape(3, 2, 4))), "es de otro conjunto"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_gives_a_spanish_error_with_its_name_and_the_remedy(kind, tmp_path):
    content, expected = BAD[kind]
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(data.DataError, match=expected) as caught:
        data.read_idx(path, hashlib.sha256(idx(GOOD)).hexdigest())
    assert str(path) in str(caught.value)
    assert "bórralo y vuelve a obtenerlo" in str(caught.value)
    error = caught.value  # sin el traceback de gzip, zlib o struct por delante
    assert error.__context__ is None or error.__suppress_context__


def test_a_missing_file_a_folder_and_an_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "a.gz"
    with pytest.raises(data.DataError, match=rf"falta el archivo {path}: revisa la ruta"):
        data.read_idx(path)
    path.mkdir()
    with pytest.raises(data.DataError, match=rf"{path} es una carpeta y debería ser un archivo"):
        data.read_idx(path)

    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)  # quien prueba como root puede leerlo todo
    with pytest.raises(data.DataError, match=rf"no se pudo leer {path}: revisa sus permisos"):
        data.read_idx(path)


@pytest.mark.parametrize("kind", ["gzip truncado", "no es gzip", "otro conjunto"])
def test_the_loader_gives_the_same_error_for_the_full_set(kind, places, tree):
    root = copy(tree, places / "mios")
    (root / NAMES[2]).write_bytes(BAD[kind][0])
    with pytest.raises(data.DataError, match=BAD[kind][1]) as caught:
        data.fashion_mnist("full", root=root)
    assert str(root / NAMES[2]) in str(caught.value)


# --- Dónde se busca el conjunto completo ---------------------------------------------------------


def test_lookup_order(places, tree, monkeypatch):
    """Cada lugar gana al siguiente; el primero de los que hay es el que se lee."""
    cache, debian = places / "torch/datasets/FashionMNIST/raw", places / "debian"
    configured, root = places / "variable", places / "raíz"
    seen = []
    real = data.read_idx
    monkeypatch.setattr(
        data, "read_idx", lambda path, digest: seen.append(Path(path).parent) or real(path, digest)
    )
    for folder in (cache, debian, configured, root):
        copy(tree, folder)
        if folder == configured:
            monkeypatch.setenv("CNNHISTORY_DATA", str(configured))
        seen.clear()
        train, test = data.fashion_mnist("full", root=root if folder == root else None)
        assert set(seen) == {folder}
        assert len(train) == 60
        assert len(test) == 20
        assert train.images.shape == (60, 1, 28, 28)
    assert data.fashion_mnist("full", root=places / "no existe")[0].labels.tolist()[:3] == [0, 1, 2]


def test_torchvision_layout_and_extracted_only_files_are_found(places, tree):
    folder = copy(tree, places / "mios/FashionMNIST/raw")
    before = data.fashion_mnist("full", root=places / "mios")[0]
    for name in NAMES:  # torchvision se conforma con los extraídos: nosotros también
        (folder / name[:-3]).write_bytes(gzip.decompress((folder / name).read_bytes()))
        (folder / name).unlink()
    after = data.fashion_mnist("full", root=places / "mios")[0]
    assert torch.equal(before.images, after.images)


def test_an_incomplete_folder_names_what_is_missing(places, tree):
    root = copy(tree, places / "mios")
    (root / NAMES[1]).unlink()
    (root / NAMES[2]).unlink()
    with pytest.raises(data.DataError, match=f"en {root} falta: ") as caught:
        data.fashion_mnist("full", root=root)
    missing = str(caught.value).split(". Copia")[0]
    assert [name in missing for name in NAMES] == [False, True, True, False]


@pytest.mark.parametrize("chosen", ["root", "variable", "caché"])
def test_the_last_resort_is_torchvisions_download(chosen, places, tree, monkeypatch):
    destination = {"caché": places / "torch/datasets"}.get(chosen, places / chosen)
    if chosen == "variable":
        monkeypatch.setenv("CNNHISTORY_DATA", str(destination))
    calls = []

    def download(root, train, download):
        calls.append((root, train, download))
        shutil.copytree(tree[0], Path(root) / "FashionMNIST/raw", dirs_exist_ok=True)

    monkeypatch.setattr(datasets, "FashionMNIST", download)
    for _ in range(2):  # la segunda vez ya está en el disco
        train, _test = data.fashion_mnist("full", root=destination if chosen == "root" else None)
        assert len(train) == 60
    assert calls == [(str(destination), True, True), (str(destination), False, True)]


def test_only_one_of_those_that_arrive_at_once_downloads(places, tree, monkeypatch):
    """Como los procesos de torchrun: los demás esperan, y no toman los archivos a medias."""
    calls = []

    def download(root, train, download):
        calls.append(train)
        folder = Path(root) / "FashionMNIST/raw"
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(NAMES):
            shutil.copy(tree[0] / name, folder)
            time.sleep(0.05)

    monkeypatch.setattr(datasets, "FashionMNIST", download)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(data.fashion_mnist, "full", root=places / "mios")
        time.sleep(0.1)
        second = pool.submit(data.fashion_mnist, "full", root=places / "mios")
        assert torch.equal(first.result()[0].images, second.result()[0].images)
    assert calls == [True, False]


@pytest.mark.parametrize("error", [OSError("sin red"), RuntimeError("File not found or corrupted")])
def test_a_failed_download_says_where_it_looked_and_what_to_do(places, monkeypatch, error):
    def fail(*_args, **_settings):
        raise error

    monkeypatch.setattr(datasets, "FashionMNIST", fail)
    with pytest.raises(data.DataError) as caught:
        data.fashion_mnist("full", root=places / "mios")
    message = str(caught.value)
    for part in ("mios", "debian", "no se pudo descargar", str(error), "dataset-fashion-mnist"):
        assert part in message
    assert 'subset="mini"' in message


# --- MNIST ---------------------------------------------------------------------------------------


@pytest.fixture
def mnist_digests(monkeypatch, tree) -> None:
    monkeypatch.setattr(data, "_MNIST_SHA256", tree[1])


def test_mnist_is_found_where_torchvision_leaves_it_or_loose_in_root(
    places, tree, mnist_digests, monkeypatch
):
    copy(tree, places / "torch/datasets/MNIST/raw")
    monkeypatch.setenv("CNNHISTORY_DATA", str(tree[0]))  # sueltos: son los de Fashion-MNIST
    read = []
    real = data.read_idx
    monkeypatch.setattr(
        data, "read_idx", lambda path, digest: read.append(Path(path).parent) or real(path, digest)
    )
    train, test = data.mnist()
    assert set(read) == {places / "torch/datasets/MNIST/raw"}
    assert train.images.shape == (60, 1, 28, 28)
    assert test.images.shape == (20, 1, 28, 28)
    assert test.labels.tolist() == [*range(10)] * 2
    assert train.classes == test.classes == data.MNIST_CLASSES == tuple("0123456789")
    read.clear()
    data.mnist(root=tree[0])
    assert set(read) == {tree[0]}
    assert torch.equal(data.fashion_mnist("full")[0].images, train.images)  # los de la variable


def test_mnist_refuses_what_is_not_mnist(places, tree):
    with pytest.raises(data.DataError, match=r"train-images.*es de otro conjunto o fue modificado"):
        data.mnist(root=tree[0])  # con las huellas de verdad
    folder = copy(tree, places / "mios/MNIST/raw")
    (folder / NAMES[3]).unlink()
    with pytest.raises(
        data.DataError, match=rf"en {folder} falta: {NAMES[3]}\. .*de MNIST o borra"
    ):
        data.mnist(root=places / "mios")


def test_mnist_is_downloaded_by_torchvision(places, tree, mnist_digests, monkeypatch):
    calls = []

    def download(root, train, download):
        calls.append((root, train, download))
        shutil.copytree(tree[0], Path(root) / "MNIST/raw", dirs_exist_ok=True)

    with pytest.raises(data.DataError, match=r"MNIST no está completo en .*\(sin red\).*cuatro"):
        data.mnist()
    monkeypatch.setattr(datasets, "MNIST", download)
    for _ in range(2):  # la segunda vez ya está en el disco
        assert len(data.mnist(root=places / "mios")[0]) == 60
    destination = str(places / "mios")
    assert calls == [(destination, True, True), (destination, False, True)]


def test_every_file_of_mnist_has_a_digest():
    assert set(data._MNIST_SHA256) == {name for name, _ in datasets.MNIST.resources}
    assert not set(data._MNIST_SHA256.values()) & set(data._FULL_SHA256.values())
    assert all(len(bytes.fromhex(digest)) == 32 for digest in data._MNIST_SHA256.values())


# --- CIFAR: pickles de Python 2 -------------------------------------------------------------------


def python2_pickle(value) -> bytes:
    """El formato de los CIFAR, el protocolo 2 de Python 2, escrito aparte de quien lo lee."""
    return b"\x80\x02" + python2(value) + b"."


def python2(value) -> bytes:
    match value:
        case bool() | int():
            return b"J" + struct.pack("<i", value)
        case str():
            return python2(value.encode("latin1"))
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case list():
            return b"](" + b"".join(map(python2, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(python2, value)) + b"t"
        case dict():
            return b"}(" + b"".join(python2(it) for pair in value.items() for it in pair) + b"u"
        case None:
            return b"N"
        case np.ndarray():
            empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + python2((0,))
            dtype = b"cnumpy\ndtype\n" + python2(("u1", 0, 1)) + b"R"
            dtype += python2((3, "|", None, None, None, -1, -1, 0)) + b"b"
            state = b"(" + python2(1) + python2(value.shape) + dtype + python2(0)
            return empty + python2("b") + b"tR" + state + python2(value.tobytes()) + b"tb"


@dataclass(frozen=True)
class Cifar:
    load: Callable
    original: type
    folder: Path
    images: dict[str, np.ndarray]


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request, places, monkeypatch) -> Cifar:
    """Un CIFAR de mentira, de dos imágenes por archivo, en sus carpetas y con sus huellas."""
    original = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[request.param]
    key = {"cifar10": "labels", "cifar100": "fine_labels"}[request.param]
    folder, random = places / "mios" / original.base_folder, np.random.default_rng(0)
    folder.mkdir(parents=True)
    images = {}
    for table in ("train_list", "test_list"):
        digests = []
        for name, _ in getattr(original, table):
            images[name] = random.integers(0, 256, (2, 3072), dtype=np.uint8)
            entry = {"batch_label": name, key: [len(images), 0], "data": images[name]}
            entry["coarse_labels"] = [19, 19]
            content = python2_pickle(entry | {"filenames": ["a.png", "b.png"]})
            (folder / name).write_bytes(content)
            digests.append([name, hashlib.md5(content).hexdigest()])
        monkeypatch.setattr(original, table, digests)
    return Cifar(getattr(data, request.param), original, folder, images)


def test_cifar_is_what_its_files_say(cifar):
    train, test = cifar.load(root=cifar.folder.parent)
    names = [name for name, _ in cifar.original.train_list]
    pixels = np.concatenate([cifar.images[name] for name in names])
    assert train.images.shape == (2 * len(names), 3, 32, 32)
    assert np.array_equal(train.images.numpy(), pixels.reshape(-1, 3, 32, 32))
    assert train.labels.tolist() == [n for k in range(len(names)) for n in (k + 1, 0)]
    assert test.images.shape == (2, 3, 32, 32)
    assert test.labels.tolist() == [len(names) + 1, 0]
    assert (
        len(train.classes)
        == len(set(train.classes))
        == {"cifar10": 10, "cifar100": 100}[cifar.load.__name__]
    )
    assert torch.equal(cifar.load(root=cifar.folder)[0].images, train.images)  # la carpeta misma


def test_cifar_is_what_torchvision_reads(cifar, monkeypatch):
    (cifar.folder / "meta").write_bytes(python2_pickle({"names": [*"ab"]}))
    digest = hashlib.md5((cifar.folder / "meta").read_bytes()).hexdigest()
    meta = {"filename": "meta", "key": "names", "md5": digest}
    monkeypatch.setattr(cifar.original, "meta", meta)
    for ours, train in zip(cifar.load(root=cifar.folder.parent), (True, False), strict=True):
        theirs = cifar.original(cifar.folder.parent, train=train)
        assert np.array_equal(ours.images.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert ours.labels.tolist() == theirs.targets


def test_no_cifar_file_is_unpickled_before_its_digest_is_checked(cifar, tmp_path):
    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ejecutado",)

    path = cifar.folder / cifar.original.test_list[0][0]
    content = path.read_bytes()
    for bad in (pickle.dumps(Payload()), content[:-100], b"", b"<html>404</html>"):
        path.write_bytes(bad)
        with pytest.raises(data.DataError, match=rf"{path} no tiene el contenido.*MD5.*bórralo"):
            cifar.load(root=cifar.folder.parent)
    assert not (tmp_path / "ejecutado").exists()
    path.unlink()
    with pytest.raises(data.DataError, match=rf"en {cifar.folder} falta: {path.name}\. Copia"):
        cifar.load(root=cifar.folder.parent)


def test_cifar_is_downloaded_with_torchvisions_address_and_digest(cifar, places, monkeypatch):
    calls = []

    def download(url, root, filename, md5):
        calls.append((url, root, filename, md5))
        shutil.copytree(cifar.folder, Path(root) / cifar.folder.name)

    with pytest.raises(data.DataError, match=r"no se pudo descargar \(sin red\).*copia cifar-10"):
        cifar.load()
    monkeypatch.setattr(data, "download_and_extract_archive", download)
    monkeypatch.setenv("CNNHISTORY_DATA", str(places / "variable"))
    for _ in range(2):
        assert len(cifar.load()[1]) == 2
    original = cifar.original
    place = str(places / "variable")
    assert calls == [(original.url, place, original.filename, original.tgz_md5)]


def test_an_archive_already_in_root_is_extracted_without_network(cifar, places, monkeypatch):
    """Lo que aconseja el error: copiar el .tar.gz, que torchvision comprueba y extrae."""
    monkeypatch.setattr(data, "download_and_extract_archive", download_and_extract_archive)
    root = places / "copiado"
    root.mkdir()
    with tarfile.open(root / cifar.original.filename, "w:gz") as archive:
        archive.add(cifar.folder, cifar.folder.name)
    digest = hashlib.md5((root / cifar.original.filename).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar.original, "tgz_md5", digest)
    assert len(cifar.load(root=root)[1]) == 2


def test_a_folder_called_like_a_file_is_not_the_dataset(cifar, places):
    """CIFAR-100 llama «train» y «test» a sus archivos, como tantas carpetas de otros."""
    for name in ("train", "test"):
        (places / "otros" / name).mkdir(parents=True)
    with pytest.raises(data.DataError, match="no se pudo descargar"):
        cifar.load(root=places / "otros")


def test_part_of_a_dataset_loose_in_root_is_somebody_elses(cifar, places):
    """Solo en su carpeta se puede decir que falta un archivo: suelto, «test» es cualquier cosa."""
    (places / "otros").mkdir()
    (places / "otros" / cifar.original.test_list[0][0]).touch()
    with pytest.raises(data.DataError, match="no se pudo descargar"):
        cifar.load(root=places / "otros")


ENGLISH = """
apple:manzana aquarium_fish:pez_de_acuario baby:bebé bear:oso beaver:castor bed:cama bee:abeja
beetle:escarabajo bicycle:bicicleta bottle:botella bowl:tazón boy:niño bridge:puente bus:autobús
butterfly:mariposa camel:camello can:lata castle:castillo caterpillar:oruga cattle:ganado
chair:silla chimpanzee:chimpancé clock:reloj cloud:nube cockroach:cucaracha couch:sofá
crab:cangrejo crocodile:cocodrilo cup:taza dinosaur:dinosaurio dolphin:delfín elephant:elefante
flatfish:pez_plano forest:bosque fox:zorro girl:niña hamster:hámster house:casa kangaroo:canguro
keyboard:teclado lamp:lámpara lawn_mower:cortadora_de_césped leopard:leopardo lion:león
lizard:lagarto lobster:langosta man:hombre maple_tree:arce motorcycle:motocicleta
mountain:montaña mouse:ratón mushroom:hongo oak_tree:roble orange:naranja orchid:orquídea
otter:nutria palm_tree:palmera pear:pera pickup_truck:camioneta pine_tree:pino plain:llanura
plate:plato poppy:amapola porcupine:puercoespín possum:zarigüeya rabbit:conejo raccoon:mapache
ray:raya road:carretera rocket:cohete rose:rosa sea:mar seal:foca shark:tiburón shrew:musaraña
skunk:zorrillo skyscraper:rascacielos snail:caracol snake:serpiente spider:araña
squirrel:ardilla streetcar:tranvía sunflower:girasol sweet_pepper:pimiento table:mesa tank:tanque
telephone:teléfono television:televisor tiger:tigre tractor:tractor train:tren trout:trucha
tulip:tulipán turtle:tortuga wardrobe:ropero whale:ballena willow_tree:sauce wolf:lobo
woman:mujer worm:gusano
"""


def test_the_classes_of_cifar100_translate_the_english_ones_in_their_order():
    pairs = dict(pair.split(":") for pair in ENGLISH.split())
    assert list(pairs) == sorted(pairs)  # el orden de las etiquetas es el alfabético en inglés
    assert [name.replace("_", " ") for name in pairs.values()] == list(data.CIFAR100_CLASSES)


# --- Imágenes al azar ----------------------------------------------------------------------------


def test_synthetic_data_has_the_shape_and_classes_asked_for_and_repeats():
    dataset = data.synthetic(200, (3, 8, 6), 7, seed=1)
    assert dataset.images.shape == (200, 3, 8, 6)
    assert set(dataset.labels.tolist()) == set(range(7))
    assert len(dataset.classes) == 7
    assert (int(dataset.images.min()), int(dataset.images.max())) == (0, 255)
    again, other = data.synthetic(200, (3, 8, 6), 7, seed=1), data.synthetic(200, (3, 8, 6), 7)
    assert torch.equal(again.images, dataset.images)
    assert torch.equal(again.labels, dataset.labels)
    assert not torch.equal(other.images, dataset.images)
    assert len(data.Batches(dataset, 64)) == 4


@pytest.mark.parametrize(
    "arguments", [(0, (1, 2, 2), 3), (5, (1, 2), 3), (5, (1, 0, 2), 3), (5, (1, 2, 2), 0)]
)
def test_synthetic_refuses_impossible_sizes(arguments):
    with pytest.raises(ValueError, match=r"forma \(C, H, W\) de tamaños positivos; llegaron"):
        data.synthetic(*arguments)


# --- Dataset, reparto, normalización -------------------------------------------------------------


def tiny(count: int = 50, classes: int = 5, channels: int = 1) -> data.Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, 4, 4), dtype=torch.uint8, generator=generator)
    images[:, 0, 0, 0] = torch.arange(count, dtype=torch.uint8)  # cada imagen lleva su número
    return data.Dataset(images, torch.arange(count) % classes, tuple("abcdefghij"[:classes]))


def numbers(dataset: data.Dataset) -> list[int]:
    return dataset.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(3).long(), r"\(N, C, H, W\)"),
        (torch.zeros(3, 1, 4, 4), torch.zeros(3).long(), "uint8"),
        (torch.zeros(3, 1, 4, 4).byte(), torch.zeros(2).long(), "hay 3 imágenes"),
        (torch.zeros(3, 1, 4, 4).byte(), torch.zeros(3), "int64"),
        (torch.zeros(2, 1, 4, 4).byte(), torch.tensor([0, 2]), "de 0 a 2, pero hay 2 clases"),
        (torch.zeros(2, 1, 4, 4).byte(), torch.tensor([-1, 1]), "de -1 a 1"),
    ],
)
def test_an_incoherent_dataset_is_refused(images, labels, expected):
    with pytest.raises(ValueError, match=expected):
        data.Dataset(images, labels, ("a", "b"))


def test_indexing_a_dataset():
    dataset = tiny()
    assert len(dataset) == 50
    assert numbers(dataset[10:13]) == [10, 11, 12]
    assert numbers(dataset[torch.tensor([7, 3])]) == [7, 3]
    assert numbers(dataset[dataset.labels == 2]) == [*range(2, 50, 5)]
    assert dataset[:3].classes == dataset.classes
    assert len(dataset[:0]) == 0


def test_split_is_stratified_disjoint_exhaustive_and_seeded(mini):
    train, _ = mini
    kept, held = data.split(train, fraction=0.1, seed=3)
    assert kept.labels.bincount().tolist() == [900] * 10
    assert held.labels.bincount().tolist() == [100] * 10
    dataset = tiny()
    parts = data.split(dataset, 0.3, seed=1)
    assert sorted(numbers(parts[0]) + numbers(parts[1])) == [*range(50)]
    assert numbers(parts[0]) == sorted(numbers(parts[0]))  # en el orden original
    assert numbers(parts[1]) == sorted(numbers(parts[1]))
    again, other = data.split(dataset, 0.3, seed=1), data.split(dataset, 0.3, seed=2)
    assert numbers(again[1]) == numbers(parts[1])
    assert numbers(other[1]) != numbers(parts[1])
    for part, image_numbers in zip(parts, map(numbers, parts), strict=True):
        assert part.labels.tolist() == [number % 5 for number in image_numbers]


def test_split_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    data.split(tiny(), 0.3)
    next(iter(data.Batches(tiny(), 8, shuffle=True)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_split_refuses_an_impossible_fraction(fraction):
    with pytest.raises(ValueError, match="entre 0 y 1"):
        data.split(tiny(), fraction)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_split_refuses_to_leave_a_part_empty(fraction):
    with pytest.raises(ValueError, match="una de las partes queda vacía"):
        data.split(tiny(), fraction)


def test_few_takes_the_same_number_of_every_class_and_repeats(mini):
    train, _ = mini
    state = torch.get_rng_state()
    ten = data.few(train, 10, seed=3)
    assert ten.labels.bincount().tolist() == [10] * 10
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(ten.images, data.few(train, 10, seed=3).images)
    assert not torch.equal(ten.images, data.few(train, 10, seed=4).images)
    everything = {image.numpy().tobytes() for image in train.images}
    chosen = {image.numpy().tobytes() for image in ten.images}
    assert len(chosen) == 100
    assert chosen <= everything
    hundred = {image.numpy().tobytes() for image in data.few(train, 100, seed=3).images}
    assert chosen <= hundred  # con la misma semilla, unas están entre las otras


def test_few_keeps_images_with_their_labels_in_the_original_order():
    images = torch.arange(12, dtype=torch.uint8)[:, None, None, None]
    dataset = data.Dataset(images, torch.arange(12) % 3, ("a", "b", "c"))
    chosen = data.few(dataset, 2)
    values = chosen.images.flatten()
    assert torch.equal(chosen.labels, values.long() % 3)
    assert values.tolist() == sorted(values.tolist())
    assert torch.equal(data.few(dataset, 4).images, images)


def test_few_names_the_classes_that_do_not_reach():
    labels = torch.tensor([0, 0, 0, 2])
    dataset = data.Dataset(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), labels, ("a", "b", "c"))
    with pytest.raises(ValueError, match=r"no hay 2 imágenes .* «b» tiene 0, «c» tiene 1; pide"):
        data.few(dataset, 2)


@pytest.mark.parametrize("per_class", [0, -1, 2.0, True, "5"])
def test_few_refuses_what_is_not_a_count(per_class, mini):
    with pytest.raises(ValueError, match="entero positivo"):
        data.few(mini[0], per_class)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalization_is_torchs_mean_and_std(channels):
    dataset = tiny(channels=channels)
    scaled = dataset.images.double() / 255
    normalize = data.normalization(dataset)
    expected = scaled.mean((0, 2, 3)), scaled.std((0, 2, 3), correction=0)
    torch.testing.assert_close(torch.tensor(normalize.mean).double(), expected[0])
    torch.testing.assert_close(torch.tensor(normalize.std).double(), expected[1])
    result = normalize(scaled.float())
    torch.testing.assert_close(result.mean((0, 2, 3)), torch.zeros(channels), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std((0, 2, 3), correction=0), torch.ones(channels))


def test_normalization_of_the_real_set(mini):
    """La media y la desviación que todo el mundo copia para Fashion-MNIST: 0.286 y 0.353."""
    normalize = data.normalization(mini[0])
    assert normalize.mean == pytest.approx([0.286], abs=0.003)
    assert normalize.std == pytest.approx([0.353], abs=0.003)


def test_normalization_refuses_the_empty_and_the_constant():
    with pytest.raises(ValueError, match="conjunto vacío"):
        data.normalization(tiny()[:0])
    flat = data.Dataset(torch.full((3, 1, 4, 4), 7).byte(), torch.zeros(3).long(), ("a",))
    with pytest.raises(ValueError, match="canal constante"):
        data.normalization(flat)


# --- Lotes ---------------------------------------------------------------------------------------


def order(batches: data.Batches) -> list[int]:
    return [round(float(x) * 255) for images, _ in batches for x in images[:, 0, 0, 0]]


def test_batches_give_every_image_once_and_the_last_may_be_shorter():
    dataset = tiny()
    batches = data.Batches(dataset, 16)
    assert len(batches) == 4
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 2]
    assert order(batches) == [*range(50)]
    for images, labels in batches:
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert 0 <= float(images.min()) <= float(images.max()) <= 1
    loader = DataLoader(TensorDataset(dataset.images.float() / 255, dataset.labels), 16)
    for (ours, our_labels), (theirs, their_labels) in zip(batches, loader, strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(our_labels, their_labels)
    assert len(data.Batches(dataset, 50)) == len(data.Batches(dataset, 1_000)) == 1


def test_shuffled_batches_follow_their_seed_and_change_every_pass():
    dataset = tiny()
    first, same, other = (data.Batches(dataset, 16, shuffle=True, seed=s) for s in (1, 1, 2))
    passes = [order(first), order(first)]
    assert passes[0] != passes[1]
    assert passes[0] != [*range(50)]
    assert all(sorted(numbers) == [*range(50)] for numbers in passes)
    assert [order(same), order(same)] == passes
    assert order(other) != passes[0]
    for images, labels in first:
        assert [round(float(x) * 255) % 5 for x in images[:, 0, 0, 0]] == labels.tolist()


def test_transform_gets_whole_batches_and_device_is_where_they_live():
    shapes = []

    def double(images):
        shapes.append(tuple(images.shape))
        return images * 2

    dataset = tiny()
    plain = data.Batches(dataset, 32)
    doubled = data.Batches(dataset, 32, transform=double)
    for (before, _), (after, _) in zip(plain, doubled, strict=True):
        assert torch.equal(after, before * 2)
    assert shapes == [(32, 1, 4, 4), (18, 1, 4, 4)]
    on_meta = data.Batches(dataset, 32, shuffle=True, transform=v2.Resize(8), device="meta")
    images, labels = next(iter(on_meta))
    assert images.shape == (32, 1, 8, 8)
    assert images.device.type == labels.device.type == "meta"
    # El conjunto no cambia, y lo que se hace con un lote no lo toca.
    next(iter(plain))[0].zero_()
    assert numbers(dataset) == order(plain) == [*range(50)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="necesita CUDA")
def test_the_order_is_the_same_on_the_gpu():
    dataset = tiny()
    batches = [data.Batches(dataset, 8, shuffle=True, device=d) for d in ("cpu", "cuda")]
    assert order(batches[0]) == order(batches[1])


def test_batches_refuse_nothing_and_less():
    with pytest.raises(ValueError, match="vacío"):
        data.Batches(tiny()[:0], 8)
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"llegó {size}"):
            data.Batches(tiny(), size)


# --- Un lote entre varios procesos ---------------------------------------------------------------


def test_a_single_process_gets_what_it_always_got():
    dataset = tiny()
    alone = data.Batches(dataset, 16, shuffle=True, seed=4, shard=(0, 1))
    generator = torch.Generator().manual_seed(4)
    for _ in range(2):
        expected = torch.randperm(50, generator=generator)
        for (images, labels), indices in zip(alone, expected.split(16), strict=True):
            assert torch.equal(images, dataset.images[indices].float() / 255)
            assert torch.equal(labels, dataset.labels[indices])


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [4, 6, 16, 64])
def test_in_training_shards_are_equal_contiguous_and_only_leave_the_remainder(world, batch_size):
    dataset = tiny()
    shards = [
        data.Batches(dataset, batch_size, shuffle=True, seed=2, shard=(rank, world))
        for rank in range(world)
    ]
    generator = torch.Generator().manual_seed(2)
    for _ in range(2):
        expected = torch.randperm(50, generator=generator).split(batch_size)
        usable = [
            b[: len(b) // world * world].tolist()
            for b in expected
            # Del resto no se da una sola imagen por proceso: la normalización no puede con una.
            if len(b) // world > (len(b) < batch_size)
        ]
        passes = [[order([batch]) for batch in shard] for shard in shards]
        assert {len(shard) for shard in shards} == {len(usable)}
        assert [[*chain(*parts)] for parts in zip(*passes, strict=True)] == usable
        for parts in zip(*passes, strict=True):
            assert len({len(part) for part in parts}) == 1


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("batch_size", [1, 3, 16, 49, 64])
def test_in_evaluation_shards_miss_and_repeat_nothing(world, batch_size):
    dataset = tiny()
    shards = [data.Batches(dataset, batch_size, shard=(rank, world)) for rank in range(world)]
    seen = []
    for shard in shards:
        batches = list(shard)
        assert len(shard) == len(batches)
        assert all(len(labels) for _, labels in batches)
        seen += order(batches)
        for images, labels in batches:
            assert [n % 5 for n in order([(images, labels)])] == labels.tolist()
    assert sorted(seen) == [*range(50)]
    assert max(map(len, shards)) == -(-50 // batch_size)


@pytest.mark.parametrize("shard", [(1, 1), (-1, 2), (2, 2), (0, 0), (0,), (0, 1, 2), (0.0, 2)])
def test_an_impossible_shard_is_refused(shard):
    with pytest.raises(ValueError, match=r"par \(rango, procesos\).*llegó"):
        data.Batches(tiny(), 8, shard=shard)


def test_training_batches_that_do_not_reach_every_process_are_refused():
    with pytest.raises(ValueError, match="un lote de 3 no se puede repartir entre 4 procesos"):
        data.Batches(tiny(), 3, shuffle=True, shard=(0, 4))
    with pytest.raises(ValueError, match="un lote de 2 no se puede repartir entre 3 procesos"):
        data.Batches(tiny()[:2], 8, shuffle=True, shard=(0, 3))
    assert len(data.Batches(tiny()[:2], 8, shard=(2, 3))) == 0
