"""The process that draws pictures of a run's scenes, ``python -m perdure.drivers.experiments.scene_process``.

Its arguments are the file descriptor of the socket to the server and the run's id. It loads models, and for
environments the scripts of their engines, from a copy of the experiment's files, and answers until the server
closes the socket. It has nothing of the run but the copies of states that it is sent.
"""

import os
import socket
import sys
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import msgspec

from perdure.drivers.experiments.scene_views import LARGEST_PICTURE, PICTURE, REFUSED, PictureRequest
from perdure.engines.python_script.part import Part
from perdure.engines.python_script.simulators.pictures import Pictures, make_pictures, png
from perdure.errors import Invalid, PerdureError, message_of
from perdure.execution.child import print_by_lines
from perdure.execution.isolated_engine import receive, send
from perdure.state.codec import decode

__all__ = ["main"]

NICENESS = 10  # runs come first


class _Artist:
    """Draws the scenes of one engine.

    An environment is made and drawn where its engine's script is loaded, which may define it.
    """

    def __init__(self, request: PictureRequest) -> None:
        self._folder = folder = Path(request.folder)
        self._part: Part | None = None
        if request.simulator == "OpenAI":
            name = request.engine
            self._part = Part(f"the engine {name!r}", f"engine {name}", folder, request.seed)
        with self._running("when it was loaded to be drawn"):
            if self._part is not None:
                self._part.load(request.script)
            self._pictures: Pictures = make_pictures(request.simulator, request.world, folder, request.seed)

    def draw(self, request: PictureRequest) -> bytes:
        """Return a picture as a PNG file."""
        with self._running("when it was drawn"):
            pixels = self._pictures.draw(decode(request.scene), request.width, request.height)
        if self._part is not None:
            self._part.clock.take()
        picture = png(pixels)
        if len(picture) > LARGEST_PICTURE:
            raise Invalid(
                f"The picture has {len(picture)} bytes, and may have {LARGEST_PICTURE}; draw a smaller one."
            )
        return picture

    def _running(self, doing: str) -> Any:
        return chdir(self._folder) if self._part is None else self._part.running(doing)


def main(descriptor: int) -> None:
    """Answer requests on the socket with this descriptor."""
    os.nice(NICENESS)
    os.set_inheritable(descriptor, False)
    print_by_lines()
    artists: dict[str, _Artist] = {}
    connection = socket.socket(fileno=descriptor)
    with suppress(ConnectionError):  # the server wants no more pictures
        while True:
            request = msgspec.convert(receive(connection), PictureRequest)
            try:
                if request.engine not in artists:
                    artists[request.engine] = _Artist(request)
                send(connection, [PICTURE, artists[request.engine].draw(request)])
            except PerdureError as error:
                send(connection, [REFUSED, str(error)])
            except Exception as error:  # of a library for graphics, or of an environment
                send(connection, [REFUSED, f"{type(error).__name__}: {message_of(error)}"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
