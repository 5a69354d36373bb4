"""What the tests of the panel without a browser share."""

import time

LONG = 60  # seconds after which something hangs


def until(panel, holds):
    """Let the pump run until something holds."""
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        panel.pump.drain()
        time.sleep(0.02)
