"""Messages to widgets that arrive in another thread of the kernel."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from lab.panel import one_thread
from lab.panel.one_thread import InMainThread, keep_to_main_thread


class Kernel:
    """As much of ipykernel's as is used: who handles a message, and which message is answered."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, str, dict[str, Any]]] = []
        self.parent: dict[str, Any] = {}
        self.shell_handlers: dict[str, Any] = {"comm_msg": self.comm_msg, "execute_request": self.comm_msg}

    def set_parent(self, ident: str, parent: dict[str, Any], channel: str) -> None:
        self.parent = parent["header"]

    def comm_msg(self, stream: None, ident: str, message: dict[str, Any]) -> None:
        self.handled.append((threading.current_thread().name, message["content"], self.parent))


def message(number: int) -> dict[str, Any]:
    return {"header": {"msg_id": str(number), "subshell_id": "another"}, "content": f"change {number}"}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(one_thread, "get_ipython", lambda: SimpleNamespace(kernel=made))
    return made


def test_messages_of_another_thread_are_handled_in_the_main_one_in_order(kernel: Kernel) -> None:
    def speak() -> None:
        for number in range(3):
            kernel.shell_handlers["comm_msg"](None, "person", message(number))

    async def live() -> None:
        keep_to_main_thread()
        await asyncio.to_thread(speak)
        await asyncio.sleep(0)

    asyncio.run(live())
    assert [(thread, said) for thread, said, _ in kernel.handled] == [("MainThread", f"change {n}") for n in range(3)]
    assert [parent for *_, parent in kernel.handled] == [{"msg_id": str(number)} for number in range(3)]


def test_messages_of_the_main_thread_go_straight_on(kernel: Kernel) -> None:
    async def live() -> None:
        keep_to_main_thread()
        kernel.shell_handlers["comm_msg"](None, "person", message(1))
        assert kernel.handled == [("MainThread", "change 1", {})]

    asyncio.run(live())


def test_only_messages_to_widgets_are_kept_and_only_once(kernel: Kernel) -> None:
    async def live() -> None:
        keep_to_main_thread()
        first = kernel.shell_handlers["comm_msg"]
        keep_to_main_thread()
        assert kernel.shell_handlers["comm_msg"] is first
        assert not isinstance(kernel.shell_handlers["execute_request"], InMainThread)

    asyncio.run(live())


def test_outside_of_a_kernel_nothing_happens() -> None:
    keep_to_main_thread()
