"""The panel alone in a browser: served by Voila, to this machine only, to whoever has the token."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, NamedTuple

from lab.catalogue import RecipeError
from lab.installing import pip_install

LOOPBACK = "127.0.0.1"
PORT, TRIED = 8866, 20
LEFT = 300  # seconds without a page and without news from training, after which a kernel ends
PING = 30_000  # milliseconds for a page to answer; by default longer than from one question to the next, which warns
PATIENCE = 60  # seconds for the panel to arrive from its kernel: of four, the default, an empty page may come
NO_VOILA = "The panel is served by Voila, which is not installed. Install it: {}."
SOCKET = "voila_xxxxxxxx/kernel-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx-ipc-1"  # of a kernel, among temporary files
ONLY_HERE = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
WITHOUT_OTHER_HOSTS = """{%- extends "voila/templates/lab/index.html.j2" -%}
{%- block notebook_css -%}
{{ super() | replace('<link rel="stylesheet" href="https:', '<link rel="alternate" href="https:') }}
{%- endblock notebook_css -%}"""  # the icons whose styles Voila asks another host for are in its own scripts too
CELL = """import os
os.chdir({place!r})
import lab
from lab.own_options import add_options
add_options({options!r})
panel = lab.Panel(folder={folder!r})
panel"""


class Place(NamedTuple):
    """Where the panel is, and what opens it."""

    port: int
    token: str

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/?token={self.token}"


class Panels(NamedTuple):
    """What every page's panel works with: where runs are kept, and files of a person's own options."""

    folder: Path = Path("runs")
    options: Sequence[Path] = ()


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


def serve(place: Place, panel: Panels, said: Callable[[], None]) -> None:
    """Serve until somebody ends it; each page that is opened has a kernel of its own.

    Args:
        said: is called once the place is listened to.
    """
    from tornado.ioloop import IOLoop  # noqa: PLC0415  # other commands do without

    with TemporaryDirectory(prefix="lab-app-") as home:
        notebook = Path(home, "panel.ipynb")
        notebook.write_text(json.dumps(notebook_of(panel)), encoding="utf-8")
        served = voila().instance(config=config_of(place))
        served.initialize([str(notebook)])
        Path(home, "index.html.j2").write_text(WITHOUT_OTHER_HOSTS, encoding="utf-8")
        served.template_paths.insert(0, home)
        IOLoop.current().add_callback(said)  # the loop begins when it listens
        served.start()


def notebook_of(panel: Panels) -> dict[str, Any]:
    """The panel as a notebook."""
    options = [str(file.resolve()) for file in panel.options]
    code = CELL.format(place=str(Path.cwd()), folder=str(panel.folder), options=options)
    cell = {"cell_type": "code", "id": "panel", "source": code, "metadata": {}, "outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def config_of(place: Place) -> Any:
    """Only this machine is listened to, only the token lets in, and no page asks anything of another host."""
    from traitlets.config import Config  # noqa: PLC0415  # likewise

    config: Any = Config()
    config.Voila.update({"ip": LOOPBACK, "port": place.port, "port_retries": 0, "token": place.token})
    config.Voila.update({"open_browser": False, "log_level": "ERROR"})
    config.VoilaConfiguration.prelaunch_hook = hand_over
    config.VoilaExecutor.iopub_timeout = PATIENCE
    config.KernelManager.transport = transport()
    config.MappingKernelManager.update({"cull_idle_timeout": LEFT, "cull_interval": 30})  # where a browser crashed
    settings = {"headers": {"Content-Security-Policy": ONLY_HERE}, "ws_ping_timeout": PING}
    config.Voila.tornado_settings = settings
    return config


def transport() -> str:
    """Files of this user alone where the system takes names so long, else ports, which any user may connect to."""
    from zmq import IPC_PATH_MAX_LEN  # noqa: PLC0415  # likewise

    return "ipc" if len(os.fsencode(Path(gettempdir(), SOCKET))) <= IPC_PATH_MAX_LEN else "tcp"


def hand_over(handler: Any, **_: object) -> None:
    """Give a page the cookie which its own request to end its kernel must show; Voila sets it on the login page only.

    Without it the request, sent when the page is left, is refused: nothing shows that it is not another site's.
    """
    handler.xsrf_token  # noqa: B018  # tornado sets the cookie when it is read


def voila() -> Any:
    """The application, imported when it is needed. Raises RecipeError where it is not installed."""
    try:
        from voila.app import Voila  # pyright: ignore  # noqa: PGH003, PLC0415  # an optional package
    except ImportError:
        raise RecipeError(NO_VOILA.format(pip_install("'lab[app]'"))) from None
    return Voila
