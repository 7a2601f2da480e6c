"""Frames: reads as many bytes from a socket as a message has."""

import socket

__all__ = ["read_exactly"]

PIECE = 1 << 20  # bytes; a wrong size takes no more memory than there is to read


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Read from a socket that blocks; raise `ConnectionError` if the other end is gone before that."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), PIECE))
        if not part:
            raise ConnectionError("the other end of the socket is gone")
        parts += part
    return bytes(parts)
