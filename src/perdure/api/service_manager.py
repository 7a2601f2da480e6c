"""The service manager that started this process: systemd is notified when it serves, and that it still does.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html describes the messages.
"""

import os
import socket
from contextlib import suppress

__all__ = ["READY", "STOPPING", "WATCHDOG", "notify"]

READY, STOPPING, WATCHDOG = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(message: str) -> None:
    """Send a message to the service manager; nothing happens if there is none, or if it doesn't listen."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path  # an abstract socket
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.setblocking(False)
        sending.sendto(message.encode(), address)
