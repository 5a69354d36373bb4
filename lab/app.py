"""The panel alone in a browser: served by Voila, to this machine only, to whoever has the token."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import nbformat
from traitlets.config import Config

from lab.catalogue import RecipeError

LOOPBACK = "127.0.0.1"
PORT, TRIED = 8866, 20
LEFT = 300  # seconds without a page and without news from training, after which a kernel ends
NO_VOILA = "The panel is served by Voila, which is not installed. Install it: pip install 'lab[app]'."
ONLY_HERE = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
CELL = """import os
os.chdir({folder!r})
import lab
panel = lab.Panel()
panel"""


class Place(NamedTuple):
    """Where the panel is, and what opens it."""

    port: int
    token: str

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/?token={self.token}"


def new_place(port: int) -> Place:
    """The first free port from this one on, and a token that nobody has seen.

    Raises:
        RecipeError: Voila is not installed, there is no such port, or those that were tried are taken.
    """
    voila()
    if not 0 < port <= 65535:
        raise RecipeError(f"port is {port}, but must be a whole number from 1 to 65535.")
    last = min(port + TRIED - 1, 65535)
    for number in range(port, last + 1):
        if is_free(number):
            return Place(number, secrets.token_urlsafe(24))
    raise RecipeError(f"The ports {port} to {last} cannot be listened on: try another one, --port NUMBER.")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def serve(place: Place, folder: Path) -> None:
    """Serve until somebody ends it; each page that is opened has a kernel of its own, which works in this folder."""
    with TemporaryDirectory(prefix="lab-app-") as home:
        notebook = Path(home, "panel.ipynb")
        nbformat.write(notebook_in(folder), notebook)
        voila().launch_instance([str(notebook)], config=config_of(place))


def notebook_in(folder: Path) -> Any:
    """The panel as a notebook: what it keeps and finds lies in this folder."""
    cell = nbformat.v4.new_code_cell(CELL.format(folder=str(folder.resolve())))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=[cell], metadata=kernel)


def config_of(place: Place) -> Config:
    """Only this machine is listened to, only the token lets in, and no page asks anything of another host."""
    config: Any = Config()
    config.Voila.update({"ip": LOOPBACK, "port": place.port, "port_retries": 0, "token": place.token})
    config.Voila.update({"open_browser": False, "log_level": "ERROR"})
    # Voila ends a kernel when its page is left, but with a token it forgets what its own server asks for then.
    config.MappingKernelManager.update({"cull_idle_timeout": LEFT, "cull_interval": 30})
    config.Voila.tornado_settings = {"headers": {"Content-Security-Policy": ONLY_HERE}}
    return config


def voila() -> Any:
    """The application, imported when it is needed. Raises RecipeError where it is not installed."""
    try:
        from voila.app import Voila  # pyright: ignore  # noqa: PGH003, PLC0415  # an optional package
    except ImportError:
        raise RecipeError(NO_VOILA) from None
    return Voila
