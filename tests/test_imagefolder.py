"""Las carpetas de fotos: cada modo y formato, los sorteos, el reparto y los árboles estropeados."""

import contextlib
import gc
import io
import multiprocessing
import os
import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image
from torch import Tensor
from torchvision import datasets
from torchvision.transforms import v2

from cnnhistory import data, imagefolder, training
from cnnhistory.checkpoints import Checkpoints

torch.set_num_threads(1)

SIDE = 16


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Manchas suaves: el JPEG las deja casi iguales, y ningún giro o reflejo las repite."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Tres clases, once imágenes: ni un modo ni un tamaño se repiten por casualidad."""
    folder = tmp_path_factory.mktemp("fotos")
    for name in ("ave", "gato/cachorros", "perro"):
        (folder / name).mkdir(parents=True)
    photo(40, 30, 1).save(folder / "ave/1.jpg", quality=95)
    photo(30, 47, 2).convert("L").save(folder / "ave/2.JPEG", quality=95)
    photo(33, 20, 3).convert("CMYK").save(folder / "ave/3.jpg", quality=95)
    photo(25, 25, 4).quantize(64).save(folder / "gato/4.png", transparency=b"\x00\x80\xff")
    photo(48, 24, 5).save(folder / "gato/cachorros/5.jpg", quality=95, exif=exif(6))
    photo(20, 21, 6).convert("RGBA").save(folder / "gato/6.webp", lossless=True)
    photo(31, 22, 7).convert("1").save(folder / "gato/7.png")
    photo(22, 31, 8).save(folder / "perro/8.bmp")
    photo(9, 12, 9).convert("LA").save(folder / "perro/9.png")
    (folder / "perro/leeme.txt").write_text("no es una imagen")
    (folder / "leeme.txt").write_text("tampoco, ni una clase")
    (folder / "perro/10.jpg").symlink_to(folder / "ave/1.jpg")
    Image.fromarray(np.asarray(photo(28, 26, 10).convert("L")).astype(np.uint16) * 257).save(
        folder / "perro/11.png"
    )
    return folder


@pytest.fixture
def tree(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "fotos", symlinks=True))


def loader(folder: Path, batch_size: int = 4, **settings) -> imagefolder.ImageFolderBatches:
    return imagefolder.ImageFolderBatches(folder, batch_size, side=SIDE, **settings)


def one_pass(batches: imagefolder.ImageFolderBatches) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


# --- Leer una imagen -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "LA", "1", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb_and_keeps_its_pixels(mode, tmp_path):
    expected = photo(12, 10).convert("L" if mode in ("L", "LA", "1", "I;16") else "RGB")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(expected).astype(np.uint16) * 256 + 7)
    elif mode == "1":
        image = expected = expected.convert("1")
    else:
        image = expected.convert(mode)
    image.save(tmp_path / "a.tiff")
    with Image.open(tmp_path / "a.tiff") as saved:
        assert saved.mode == mode
    read = imagefolder.read_image(tmp_path / "a.tiff")
    assert read.mode == "RGB"
    difference = np.asarray(read).astype(int) - np.asarray(expected.convert("RGB"))
    # Con una paleta de 216 colores se pierde mucho; con el viaje a YCbCr, el redondeo.
    assert np.abs(difference).mean() <= {"P": 30, "YCbCr": 2}.get(mode, 0)


def test_a_cmyk_jpeg_is_not_a_negative(tmp_path):
    expected = photo(24, 24)
    expected.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    read = imagefolder.read_image(tmp_path / "a.jpg")
    difference = np.asarray(read).astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation, tmp_path):
    upright = photo(24, 16)
    flip = Image.Transpose
    stored = {  # cómo guardaría la foto, derecha, una cámara en esa posición
        1: lambda image: image,
        2: lambda image: image.transpose(flip.FLIP_LEFT_RIGHT),
        3: lambda image: image.transpose(flip.ROTATE_180),
        4: lambda image: image.transpose(flip.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(flip.TRANSPOSE),
        6: lambda image: image.transpose(flip.ROTATE_90),
        7: lambda image: image.transpose(flip.TRANSVERSE),
        8: lambda image: image.transpose(flip.ROTATE_270),
    }[orientation](upright)
    stored.save(tmp_path / "a.png", exif=exif(orientation))
    read = imagefolder.read_image(tmp_path / "a.png")
    assert read.size == (24, 16)
    assert np.array_equal(np.asarray(read), np.asarray(upright))


def test_a_half_written_exif_or_an_odd_palette_do_not_matter(tmp_path):
    """Pillow avisa de los dos; aquí un aviso es un error."""
    half = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"
    photo(8, 6).save(tmp_path / "a.jpg", exif=half)
    assert imagefolder.read_image(tmp_path / "a.jpg").size == (8, 6)
    photo(8, 6).quantize(16).save(tmp_path / "a.png", transparency=bytes(range(16)))
    assert imagefolder.read_image(tmp_path / "a.png").mode == "RGB"


def bad_files() -> dict[str, bytes]:
    """Contenidos que no son una imagen entera, con el nombre de lo que les pasa."""
    jpeg, png, floats = io.BytesIO(), io.BytesIO(), io.BytesIO()
    photo(64, 64).save(jpeg, "JPEG")
    photo(64, 64).save(png, "PNG")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(floats, "TIFF")
    broken = bytearray(png.getvalue())
    broken[60:70] = b"\xff" * 10
    enormous = bytearray(png.getvalue())
    enormous[16:24] = struct.pack(">II", 60_000, 60_000)  # una «bomba» de 3600 millones de píxeles
    return {
        "vacío": b"",
        "jpeg truncado": jpeg.getvalue()[: len(jpeg.getvalue()) // 2],
        "jpeg sin nada": jpeg.getvalue()[:20],
        "png dañado": bytes(broken),
        "png enorme": bytes(enormous),
        "página web": b"<html>404</html>",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        "32 bits": floats.getvalue(),
    }


@pytest.mark.parametrize("kind", bad_files())
def test_what_is_not_a_whole_image_is_named_in_spanish(kind, tmp_path):
    path = tmp_path / "n01440764_10026.JPEG"
    path.write_bytes(bad_files()[kind])
    with pytest.raises(
        data.DataError, match=rf"^{path} está truncada o dañada, .*obtenerla"
    ) as info:
        imagefolder.read_image(path)
    assert info.value.__suppress_context__  # sin el traceback de Pillow por delante


def test_an_eps_in_disguise_never_reaches_its_interpreter(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_args: ran.append(_args))
    (tmp_path / "a.jpg").write_bytes(bad_files()["eps"])
    with pytest.raises(data.DataError, match=r"a\.jpg está truncada o dañada, o no es"):
        imagefolder.read_image(tmp_path / "a.jpg")
    with contextlib.suppress(Exception), Image.open(tmp_path / "a.jpg") as image:
        image.load()
    assert len(ran) == 1  # sin la lista de formatos, sí


def test_a_missing_or_forbidden_image_is_named(tmp_path, monkeypatch):
    with pytest.raises(data.DataError, match=rf"no se pudo leer {tmp_path / 'a.jpg'}: revisa"):
        imagefolder.read_image(tmp_path / "a.jpg")

    def denied(*_args, **_settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", denied)  # quien prueba como root puede leerlo todo
    with pytest.raises(
        data.DataError, match=r"no se pudo leer a\.jpg: revisa que exista, sus perm"
    ):
        imagefolder.read_image("a.jpg")


# --- Recorrer un árbol ---------------------------------------------------------------------------


def test_a_tree_gives_its_classes_labels_and_images(original):
    batches = loader(original)
    assert batches.classes == ("ave", "gato", "perro")
    assert [len(labels) for _, labels in batches] == [4, 4, 3]
    assert len(batches) == 3
    images, labels = one_pass(batches)
    assert images.shape == (11, 3, SIDE, SIDE)
    assert images.dtype == torch.float32
    assert 0 <= float(images.min()) < 0.2
    assert 0.8 < float(images.max()) <= 1
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    reference = datasets.ImageFolder(original)
    assert labels.tolist() == reference.targets
    assert list(batches.classes) == reference.classes


def test_a_symbolic_link_is_the_image_it_points_to(original):
    images, labels = one_pass(loader(original))
    assert torch.equal(images[0], images[7])  # perro/10.jpg es ave/1.jpg
    assert (labels[0], labels[7]) == (0, 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_is_the_reference_pipeline_by_hand(original, workers):
    by_hand = v2.Compose(
        [
            v2.Resize(18, antialias=True),  # 16·256/224 = 18.3
            v2.CenterCrop(16),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    paths = [path for path, _ in datasets.ImageFolder(original).samples]
    expected = torch.stack([by_hand(imagefolder.read_image(path)) for path in paths])
    batches = loader(original, seed=9, workers=workers)
    state = batches.generator.get_state()
    for _ in range(2):  # sin azar: siempre lo mismo
        torch.testing.assert_close(one_pass(batches)[0], expected, atol=1e-7, rtol=0)
    assert torch.equal(batches.generator.get_state(), state)


def test_evaluation_at_224_is_resize_256_and_center_crop():
    resize, crop, _ = imagefolder.evaluation_pipeline(224).transforms
    assert resize.size == [256]
    assert crop.size == (224, 224)


def test_training_is_the_reference_pipeline_with_the_seed_of_each_image(original):
    crop, flip, _ = imagefolder.training_pipeline(SIDE).transforms
    assert isinstance(crop, v2.RandomResizedCrop)
    assert crop.scale == (0.08, 1.0)
    assert crop.ratio == (3 / 4, 4 / 3)
    assert crop.size == (SIDE, SIDE)
    assert isinstance(flip, v2.RandomHorizontalFlip)
    assert flip.p == 0.5
    generator = torch.Generator().manual_seed(3)
    order = torch.randperm(11, generator=generator)
    seeds = torch.randint(2**32, (11,), generator=generator)
    by_hand = v2.Compose([crop, flip, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    samples = datasets.ImageFolder(original).samples
    expected = []
    for index in order.tolist():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seeds[index]))
            expected.append(by_hand(imagefolder.read_image(samples[index][0])))
    images, labels = one_pass(loader(original, train=True, seed=3))
    torch.testing.assert_close(images, torch.stack(expected), atol=1e-7, rtol=0)
    assert labels.tolist() == [samples[index][1] for index in order.tolist()]


def test_training_repeats_with_its_seed_and_with_any_number_of_workers(original):
    runs = {}
    for name, settings in {
        "cero": {"seed": 1, "workers": 0},
        "dos": {"seed": 1, "workers": 2},
        "otra": {"seed": 2, "workers": 0},
    }.items():
        batches = loader(original, train=True, **settings)
        runs[name] = [one_pass(batches), one_pass(batches)]
    assert all(same(one, two) for one, two in zip(runs["cero"], runs["dos"], strict=True))
    first, second = runs["cero"]
    assert not same(first, second)  # cada recorrido va en otro orden, con otros recortes
    assert not torch.equal(first[0].sort(0).values, second[0].sort(0).values)
    assert not same(first, runs["otra"][0])
    assert sorted(first[1].tolist()) == sorted(second[1].tolist())


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generator_belongs_to_who_trains(original, workers):
    state = torch.get_rng_state()
    first = one_pass(loader(original, train=True, workers=workers))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)  # y lo que él haga no cambia los recortes
    assert same(one_pass(loader(original, train=True, workers=workers)), first)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_saved_generator_repeats_the_same_pass(original, workers):
    batches = loader(original, train=True, seed=5, workers=workers)
    one_pass(batches)
    state = batches.generator.get_state()
    expected = [one_pass(batches), one_pass(batches)]
    batches.generator.set_state(state)
    assert same(one_pass(batches), expected[0])
    fresh = loader(original, train=True, seed=99)  # como al reanudar en otro proceso
    fresh.generator.set_state(state)
    assert all(same(one_pass(fresh), it) for it in expected)


def test_checkpoints_resume_a_training_on_photos_in_the_same_bits(original, tmp_path):
    def run(folder, epochs, resume=False):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 3))
        batches, val = loader(original, train=True), loader(original)
        checkpoints = Checkpoints(folder, {}, resume)

        def stop(epoch):
            if epoch.number == epochs:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            training.train(
                net, batches, val, epochs=3, lr=0.01, checkpoints=checkpoints, on_epoch=stop
            )
        return net.state_dict()

    whole = run(tmp_path / "entero", 4)
    run(tmp_path / "partes", 1)
    resumed = run(tmp_path / "partes", 4, resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_abandoned_pass_does_not_disturb_the_next(original, workers):
    batches = loader(original, 2, train=True, workers=workers)
    expected = loader(original, 2, train=True)
    for _ in range(2):
        next(iter(batches))
        next(iter(expected))
        assert same(one_pass(batches), one_pass(expected))


def test_images_are_uint8_until_they_reach_the_device(original):
    seen = []

    def normalize(images):
        seen.append((images.dtype, images.device.type, tuple(images.shape)))
        return images * 2 - 1

    batches = loader(original, 8, transform=normalize)
    images, _ = one_pass(batches)
    assert seen == [
        (torch.float32, "cpu", (8, 3, SIDE, SIDE)),
        (torch.float32, "cpu", (3, 3, SIDE, SIDE)),
    ]
    assert float(images.min()) < 0
    (packed, _), *_ = batches._loader
    assert packed.dtype == torch.uint8
    assert packed.nbytes == 8 * 3 * SIDE * SIDE
    moved, labels = next(iter(loader(original, 8, device="meta")))
    assert moved.device.type == labels.device.type == "meta"


def test_more_workers_than_cores_is_who_asks_for_them(original, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0}, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(one_pass(loader(original, workers=2))) > 0


def test_workers_carry_no_list_of_files_and_leave_with_their_owner(original):
    gc.collect()
    others = {child.pid for child in multiprocessing.active_children()}
    batches = loader(original, workers=2)
    assert vars(batches._loader.dataset).keys() == {"pipeline"}
    one_pass(batches)
    own = {child.pid for child in multiprocessing.active_children()} - others
    assert len(own) == 2
    one_pass(batches)
    assert {child.pid for child in multiprocessing.active_children()} - others == own
    del batches  # sin esperar al recolector: nada lo retiene en un ciclo
    assert not {child.pid for child in multiprocessing.active_children()} & own


def test_memory_is_pinned_only_for_cuda(original):
    assert loader(original, device="cuda:0")._loader.pin_memory
    assert not loader(original)._loader.pin_memory
    assert not loader(original, device="meta")._loader.pin_memory


@pytest.mark.skipif(not torch.cuda.is_available(), reason="necesita CUDA")
def test_batches_are_the_same_on_the_gpu(original):
    there = loader(original, train=True, workers=2, device="cuda")
    images, labels = one_pass(there)
    assert images.device.type == labels.device.type == "cuda"
    expected = one_pass(loader(original, train=True))
    torch.testing.assert_close(images.cpu(), expected[0])
    assert torch.equal(labels.cpu(), expected[1])


# --- Un lote entre varios procesos ---------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_shards_of_training_are_equal_parts_of_the_same_pass(original, world):
    whole = list(loader(original, 5, train=True, seed=7))
    shards = [loader(original, 5, train=True, seed=7, shard=(r, world)) for r in range(world)]
    passes = [list(shard) for shard in shards]
    usable = [batch for batch in whole if len(batch[1]) >= world]
    assert {len(shard) for shard in shards} == {len(part) for part in passes} == {len(usable)}
    for (images, labels), *parts in zip(usable, *passes, strict=True):
        count = len(labels) // world * world
        assert {len(part[1]) for part in parts} == {count // world}
        assert torch.equal(torch.cat([part[0] for part in parts]), images[:count])
        assert torch.equal(torch.cat([part[1] for part in parts]), labels[:count])


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_shards_of_evaluation_miss_and_repeat_nothing(original, world):
    whole = list(loader(original, 5))
    shards = [loader(original, 5, shard=(rank, world)) for rank in range(world)]
    passes = [list(shard) for shard in shards]
    assert [len(shard) for shard in shards] == [len(part) for part in passes]
    for number, (images, labels) in enumerate(whole):
        parts = [part[number] for part in passes if number < len(part)]
        assert torch.equal(torch.cat([part[0] for part in parts]), images)
        assert torch.equal(torch.cat([part[1] for part in parts]), labels)


# --- Árboles y argumentos estropeados ------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_named_when_it_is_read_also_by_a_worker(tree, workers):
    bad = tree / "gato/cachorros/5.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    batches = loader(tree, 2, workers=workers)
    seen = []
    with pytest.raises(data.DataError) as caught:
        seen.extend(labels.tolist() for _, labels in batches)
    assert seen == [[0, 0], [0, 1], [1, 1]]  # lo anterior se leyó
    assert str(caught.value).startswith(f"{bad} está truncada o dañada")
    assert "Traceback" not in str(caught.value)
    bad.unlink()
    shutil.copy(tree / "ave/1.jpg", bad)  # arreglada, se puede seguir
    assert len(one_pass(batches)[1]) == 11


def test_a_missing_folder_a_file_and_an_empty_folder(tmp_path):
    with pytest.raises(data.DataError, match=rf"no existe la carpeta: {tmp_path / 'nada'}\. Debe"):
        loader(tmp_path / "nada")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(data.DataError, match=rf"no es una carpeta: {tmp_path / 'a.jpg'}"):
        loader(tmp_path / "a.jpg")
    with pytest.raises(data.DataError, match=rf"en {tmp_path} no hay carpetas"):
        loader(str(tmp_path))


def test_a_forbidden_folder_is_named(original, monkeypatch):
    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)  # quien prueba como root puede leerlo todo
    with pytest.raises(data.DataError, match=rf"no se pudo leer la carpeta {original}: revisa"):
        loader(original)


def test_empty_classes_are_named(tree):
    (tree / "pez").mkdir()
    (tree / "zorro/vacía").mkdir(parents=True)
    (tree / "zorro/a.gif").touch()
    with pytest.raises(data.DataError, match=r"sin imágenes \(pez, zorro\).*\.jpg, .*\.webp"):
        loader(tree)
    for number in range(7):
        (tree / f"vacía{number}").mkdir()
    with pytest.raises(data.DataError, match=r"\(pez, vacía0, vacía1, vacía2, vacía3 y 4 más\)"):
        loader(tree)


def test_broken_links_are_named_before_reading_anything(tree):
    (tree / "perro/12.jpg").symlink_to(tree / "no existe.jpg")
    with pytest.raises(data.DataError, match=rf"enlaces rotos \({tree / 'perro/12.jpg'}\): rep"):
        loader(tree)
    (tree / "perro/12.jpg").unlink()
    (tree / "zorro").symlink_to(tree / "no existe")  # una clase entera
    with pytest.raises(data.DataError, match=rf"enlaces rotos \({tree / 'zorro'}\)"):
        loader(tree)
    (tree / "zorro").unlink()
    (tree / "zorro").symlink_to(tree / "perro")
    assert loader(tree).classes == ("ave", "gato", "perro", "zorro")


def test_the_root_of_train_and_val_is_not_a_tree_of_classes(tree, tmp_path):
    for part in ("train", "val"):
        shutil.copytree(tree, tmp_path / "raíz" / part)
    with pytest.raises(data.DataError, match=r"raíz es la raíz, con train y val.*raíz/train o"):
        loader(tmp_path / "raíz")


def test_a_validation_tree_has_the_classes_of_training(tree):
    classes = loader(tree).classes
    assert loader(tree, classes=classes).classes == classes
    assert loader(tree, classes=list(classes)).classes == classes
    (tree / "perro").rename(tree / "lobo")
    with pytest.raises(data.DataError, match=rf"clases de {tree} .*faltan: perro; sobran: lobo$"):
        loader(tree, classes=classes)
    with pytest.raises(data.DataError, match=r"no son las esperadas; sobran: lobo$"):
        loader(tree, classes=("ave", "gato"))
    with pytest.raises(data.DataError, match="están en otro orden"):
        loader(tree, classes=("lobo", "gato", "ave"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"side": 0}, "lado debe ser un entero positivo.*llegó 0"),
        ({"side": 224.0}, "lado debe ser un entero positivo.*llegó 224.0"),
        ({"side": 0, "train": True}, "lado debe ser un entero positivo"),
        ({"workers": -1}, "procesos auxiliares no pueden ser negativos; llegó -1"),
        ({"batch_size": 0}, "al menos una imagen; llegó 0"),
        ({"shard": (2, 2)}, r"par \(rango, procesos\)"),
        ({"train": True, "shard": (0, 12), "batch_size": 16}, "un lote de 11.* entre 12 procesos"),
    ],
)
def test_impossible_arguments_are_refused(original, settings, expected):
    with pytest.raises(ValueError, match=expected):
        imagefolder.ImageFolderBatches(original, **({"batch_size": 4, "side": SIDE} | settings))
