"""Ejecuta tutoriales: un kernel por cuaderno, varios a la vez, siempre en las mismas condiciones.

Cada cuaderno se ejecuta en una carpeta vacía, contra el paquete instalado en este Python, con
semillas e hilos fijos y sin la configuración personal de nadie. Las figuras salen en SVG porque lo
dice el perfil del kernel; el código de la página no sabe que lo están publicando.
"""

import asyncio
import contextlib
import copy
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import reach
from cache import Entry
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

CELL_LIMIT = 300  # segundos: de sobra en una máquina cargada, y una celda colgada se nota

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",  # los tutoriales corren en CPU en todas partes
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
}
IPYTHON_CONFIG = """\
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.print_figure_kwargs = {
    "bbox_inches": "tight",
    "metadata": {"Creator": None, "Date": None},
}
"""
MATPLOTLIBRC = """\
axes.facecolor: none
figure.facecolor: none
savefig.transparent: True
svg.fonttype: none
svg.hashsalt: cnnhistory
"""
# Forma parte de la clave de la caché: cambiar cómo se ejecuta es cambiar lo que sale.
SETTINGS = {"environment": ENVIRONMENT, "ipython": IPYTHON_CONFIG, "matplotlib": MATPLOTLIBRC}

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CELL_FILE = re.compile(r"[^\s\"'(]*ipykernel_\d+[/\\](\d+)\.py")


class ExecutionError(Exception):
    """Una celda que falló o que tardó demasiado; el mensaje dice cuál y por qué."""


class ThisPython(KernelSpecManager):
    """El kernel es este mismo Python, aunque la máquina tenga otros registrados."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Siempre la misma especificación, sin leer las del usuario."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, language="python", display_name="Python 3")


class Runner:
    """Ejecuta cuadernos en un hilo aparte, a lo sumo tantos a la vez como núcleos."""

    def __init__(self, parallel: int | None = None) -> None:
        self._slots = asyncio.Semaphore(parallel or available_cores())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def submit(
        self, notebook: NotebookNode, page: str, key: str, limit: int = CELL_LIMIT
    ) -> Future[Entry]:
        """Pone un cuaderno en la fila; su resultado es lo que se guarda en la caché."""
        return self._start(self._run(notebook, page, key, limit))

    def close(self) -> None:
        """Cancela lo que esté en marcha y apaga sus kernels."""
        if self._thread.is_alive():
            self._start(self._cancel_all()).result(timeout=30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _run(self, notebook: NotebookNode, page: str, key: str, limit: int) -> Entry:
        async with self._slots:
            start = time.monotonic()
            cells = await execute(notebook, page, limit)
            return Entry(key, cells, provenance(time.monotonic() - start))

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def execute(notebook: NotebookNode, page: str, limit: int) -> list[dict[str, Any]]:
    """Ejecuta un cuaderno y devuelve el código y las salidas de cada celda de código.

    Raises:
        ExecutionError: si una celda falla, pasa del límite o mata al kernel.
    """
    with tempfile.TemporaryDirectory(prefix="cnnhistory-") as temporary:
        base = Path(temporary)
        kernel = new_kernel(base)
        client = NotebookClient(
            copy.deepcopy(notebook),
            km=kernel,
            timeout=limit,
            iopub_timeout=30,
            coalesce_streams=True,  # cómo llega cortado lo impreso depende del reloj
            force_raise_errors=True,
            shutdown_kernel="immediate",
        )
        try:
            where = {"cwd": str(base / "vacía"), "env": environment(base)}
            async with client.async_setup_kernel(cleanup_kc=True, **where):
                for index, cell in enumerate(client.nb.cells):
                    await run_cell(client, cell, index, page)
        finally:
            if kernel.has_kernel:
                await kernel.shutdown_kernel(now=True)
    return [
        {"source": cell.source, "outputs": [clean(output) for output in cell.outputs]}
        for cell in client.nb.cells
        if cell.cell_type == "code"
    ]


async def run_cell(client: NotebookClient, cell: NotebookNode, index: int, page: str) -> None:
    """Ejecuta una celda; si algo va mal, lo cuenta con el archivo, la celda y el error."""
    first_line = next((line for line in cell.source.splitlines() if line.strip()), "")
    where = f"{page}, celda {index + 1} («{first_line.strip()}»)"
    try:
        await client.async_execute_cell(cell, index)
    except CellTimeoutError as error:
        raise ExecutionError(f"{where}: tardó más de {client.timeout} s.") from error
    except DeadKernelError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # nbclient confunde cancelar con morir
            raise asyncio.CancelledError from None
        raise ExecutionError(f"{where}: el kernel murió (¿faltó memoria?).") from error
    except CellExecutionError as error:
        failure = next(output for output in cell.outputs if output.output_type == "error")
        traceback = normalize("\n".join(failure.traceback))
        raise ExecutionError(f"{where}: {error.ename}: {error.evalue}\n{traceback}") from error


def new_kernel(base: Path) -> AsyncKernelManager:
    """Un kernel con conexiones propias: varios a la vez no pueden cruzarse."""
    (base / "vacía").mkdir()
    kernel = AsyncKernelManager(kernel_spec_manager=ThisPython())
    kernel.connection_file = str(base / "conexión.json")
    if sys.platform != "win32":
        kernel.transport = "ipc"
        kernel.ip = str(base / "k")
    return kernel


def environment(base: Path) -> dict[str, str]:
    """El entorno de un kernel: el de este proceso más lo que fija las condiciones."""
    profile = base / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text(IPYTHON_CONFIG, encoding="utf-8")
    (base / "matplotlibrc").write_text(MATPLOTLIBRC, encoding="utf-8")
    private = {"IPYTHONDIR": str(base / "ipython"), "MATPLOTLIBRC": str(base / "matplotlibrc")}
    return {**os.environ, **ENVIRONMENT, **private}


def clean(output: dict[str, Any]) -> dict[str, Any]:
    """Una salida sin lo que cambia de una vez a otra: números de celda y nombres temporales."""
    if output["output_type"] == "stream":
        return {"type": "stream", "name": output["name"], "text": normalize(output["text"])}
    data = {
        kind: normalize(value) if kind == "text/plain" else value
        for kind, value in output["data"].items()
    }
    return {"type": "data", "data": data}


def normalize(text: str) -> str:
    """Quita colores de terminal y el archivo temporal con que el kernel nombra a cada celda."""
    return CELL_FILE.sub(r"<celda>", ANSI.sub("", text))


def provenance(seconds: float) -> dict[str, Any]:
    """De dónde salió una ejecución: código, versiones, máquina, fecha y duración."""
    return {
        "commit": git("describe", "--always", "--dirty=+cambios", "--exclude=*"),
        "versions": reach.versions(),
        "cpu": cpu_model(),
        "cores": available_cores(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seconds": round(seconds, 1),
    }


def git(*arguments: str) -> str:
    """Lo que responde git, o nada si no hay git o no es un repositorio."""
    with contextlib.suppress(OSError):
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def cpu_model() -> str:
    """El nombre comercial del procesador, si el sistema lo dice."""
    with contextlib.suppress(OSError):
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if match := re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE):
            return match[1]
    return platform.processor() or platform.machine()


def available_cores() -> int:
    """Los núcleos que este proceso puede usar, que en un contenedor son menos que los que hay."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
