"""What a person does to widgets, handled in the kernel's main thread and in the order in which it was done.

JupyterLab sends messages to widgets past the cells, to further threads of the kernel ("subshells"), and ipykernel
handles a message there or in the main thread, depending on where its widget spoke last: two callbacks at a time,
of which the later message may come first. Neither ipywidgets nor Plotly's figures are made for that.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from IPython import get_ipython

KINDS = ("comm_open", "comm_msg", "comm_close")


class InMainThread:
    """A kernel's handler of messages that hands on what arrives in another thread."""

    def __init__(self, handler: Callable[..., Any], kernel: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.handler, self.kernel, self.loop = handler, kernel, loop

    def __call__(self, stream: Any, ident: Any, message: dict[str, Any]) -> Any:
        if threading.current_thread() is threading.main_thread():
            return self.handler(stream, ident, message)
        # Without waiting: while a cell is busy, the kernel must still hear what else is said in this thread.
        self.loop.call_soon_threadsafe(self._handle, stream, ident, message)
        return None

    def _handle(self, stream: Any, ident: Any, message: dict[str, Any]) -> None:
        """As if it had come to the main thread: then what the widget is told next comes there of itself."""
        header = {key: value for key, value in message["header"].items() if key != "subshell_id"}
        self.kernel.set_parent(ident, {**message, "header": header}, channel="shell")
        self.handler(stream, ident, message)


def keep_to_main_thread() -> None:
    """Of all widgets of this kernel, from now on; nothing happens outside of a kernel with threads for messages."""
    kernel = getattr(get_ipython(), "kernel", None)
    handlers: dict[str, Any] = getattr(kernel, "shell_handlers", {})
    for kind in KINDS:
        if kind in handlers and not isinstance(handlers[kind], InMainThread):
            handlers[kind] = InMainThread(handlers[kind], kernel, asyncio.get_running_loop())
