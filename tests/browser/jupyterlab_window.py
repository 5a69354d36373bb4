"""A JupyterLab server on a free loopback port, and a page in Chromium that may talk to nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route
from playwright.sync_api import TimeoutError as TookTooLong

import lab

ROOT = Path(__file__).parents[2]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LONG = {"epochs": 100_000}  # an end that no test waits for, however slow the browser
LOOPBACK = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
IDLE = """() => { const n = window.jupyterapp.shell.currentWidget;
  return n?.sessionContext?.isReady && n.sessionContext.session?.kernel?.status === 'idle' }"""
ALL_RUN = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter(c => c.type === 'code' && c.sharedModel.getSource().trim()).every(c => c.executionCount)"""
IN_KERNEL = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  let text = '', error = '';
  const future = kernel.requestExecute({ code, store_history: false });
  future.onIOPub = (m) => { if (m.header.msg_type === 'stream') text += m.content.text;
    if (m.header.msg_type === 'error') error = m.content.traceback.join('\\n') };
  const late = new Promise((_, refuse) => setTimeout(() => refuse(new Error('The kernel does not answer.')), 240000));
  await Promise.race([future.done, late]);
  if (error) throw new Error(error);
  return text.trim() }"""


class Server:
    """JupyterLab in a process of its own, with its own settings and a token."""

    def __init__(self, root: Path, home: Path) -> None:
        self.token, self.port = secrets.token_hex(16), free_port()
        self.url, self.log = f"http://127.0.0.1:{self.port}", home / "server.log"
        folders = {"CONFIG_DIR": "config", "RUNTIME_DIR": "runtime", "DATA_DIR": "data"}
        environment = {f"JUPYTER_{name}": str(home / folder) for name, folder in folders.items()}
        environment |= {
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_PREFER_ENV_PATH": "1",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self.command(), f"--ServerApp.root_dir={root}"],
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"),
            *(f"--LabApp.app_settings_dir={ROOT / 'notebooks' / 'settings'}", "--expose-app-in-browser"),
        ]

    def wait(self, seconds: float = 60) -> Server:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                self.ask("/api/status")
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return self
        raise TimeoutError(self.log.read_text()[-3000:])

    def ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def end_kernels(self) -> None:
        for session in self.ask("/api/sessions"):
            self.ask(f"/api/sessions/{session['id']}", "DELETE")

    def close(self) -> None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            self.end_kernels()
        self.process.send_signal(signal.SIGTERM)  # SIGINT would ask "are you sure?"
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Window:
    """A page with a notebook, and what it asked for and complained about."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.refused: list[str] = []
        self.errors: list[str] = []
        page.context.route("**/*", self._loopback_only)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _loopback_only(self, route: Route) -> None:
        if route.request.url.startswith(LOOPBACK):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()

    def open(self, notebook: str = "notebooks/lab.ipynb") -> None:
        address = f"{self.server.url}/lab/tree/{notebook}?reset&token={self.server.token}"
        self.page.goto(address, wait_until="domcontentloaded")
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp?.restored")
        self.page.evaluate("() => window.jupyterapp.restored.then(() => true)")
        self.page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell")
        self.page.wait_for_function(IDLE, timeout=180_000)

    def run_all(self) -> None:
        self.command("notebook:run-all-cells")
        self.page.wait_for_function(ALL_RUN)
        self.page.wait_for_function(IDLE)
        self.page.wait_for_selector(".lab-results .js-plotly-plot .main-svg", timeout=180_000)

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        self.page.evaluate("([name, args]) => window.jupyterapp.commands.execute(name, args)", [name, arguments or {}])

    def kernel(self, code: str) -> str:
        """Run code in the notebook's kernel, outside of its cells; what it printed."""
        return self.page.evaluate(IN_KERNEL, code)

    def until(self, code: str, seconds: int = 90) -> None:
        """Wait until this is true in the kernel: no frames are needed to look."""
        for _ in range(4 * seconds):
            if self.kernel(f"print(bool({code}))") == "True":
                return
            self.page.wait_for_timeout(250)
        raise AssertionError(f"It never came true: {code}")

    def recipe(self, **changes: Any) -> None:
        """Set the panel's controls from Python, as a person may in a cell."""
        self.kernel(f"panel.recipe = lab.Recipe().changed(**{changes!r})")

    def state(self, name: str, timeout: float = 180_000) -> None:
        self.page.wait_for_selector(f".lab-progress .lab-status[data-state={name}]", timeout=timeout)

    def traces(self) -> list[dict[str, Any]]:
        """Name, number of points and line of each trace of the live figure."""
        return self.page.evaluate("""() => {
            const all = document.querySelector('.lab-results .js-plotly-plot')?.data ?? [];
            const look = (t) => ({ name: t.name, points: t.y?.length ?? 0, color: t.line.color, dash: t.line.dash });
            return all.slice(2).map(look) }""")


def press(window: Window, name: str) -> None:
    window.page.locator(f".lab-{name}").click()


def add_augmentation(window: Window, name: str) -> None:
    """By keyboard: the list, then the button beside it."""
    offered = window.page.get_by_label("augment", exact=True)
    offered.focus()
    offered.select_option(name)
    said = json.dumps(lab.augmentations.sentence(name))  # in quotes, whatever is in it
    window.page.locator(f".lab-augment select[title={said}]").wait_for()
    window.page.keyboard.press("Tab")
    window.page.keyboard.press("Enter")
    try:
        window.page.wait_for_selector(f".lab-entry-{name}", timeout=15_000)
    except TookTooLong:  # the list was drawn anew in that moment and took the focus: a person presses again
        window.page.locator(".lab-augment-add").press("Enter")
        window.page.wait_for_selector(f".lab-entry-{name}")
    offered_no_more = "name => [...document.querySelector('.lab-augment select').options].every(o => o.text !== name)"
    window.page.wait_for_function(offered_no_more, arg=name)  # what is chosen before that is lost
