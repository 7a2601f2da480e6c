"""Pictures of simulators' scenes, drawn off-screen from copies of the simulators' states.

Drawing needs a process of its own: libraries for graphics have threads and state of their own.
"""

import struct
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from perdure.engines.python_script.simulators.base import load_package, unknown_simulator
from perdure.engines.python_script.simulators.gymnasium import Gymnasium
from perdure.errors import Invalid, InvalidState

__all__ = ["PNG_SIGNATURE", "GymnasiumPictures", "MujocoPictures", "Pictures", "make_pictures", "png"]

LARGEST = 4096  # pixels, of the sides of a picture that an environment draws
AWAY = 1.4  # times as far as MuJoCo's free camera
ELEVATION = -20.0  # degrees
SKY, GROUND, SKY_PIXELS = (0.62, 0.74, 0.86), (0.93, 0.95, 0.97), 128
AMBIENT, DIFFUSE = 0.55, 0.5  # of the headlight
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB = 2  # the colour type
_LEVEL = 3  # of compression: a third of the time of the usual 6, and 10 % larger


class Pictures(Protocol):
    """Draws pictures of one simulator's scenes."""

    def draw(self, scene: Any, width: int, height: int) -> Any:
        """Return the pixels of a scene that `Simulator.scene` or `Simulator.snapshot` returned.

        Parameters
        ----------
        scene
            The scene.
        width, height
            The size, in pixels; environments have a size of their own.

        Returns
        -------
        ndarray
            Bytes by row, column and colour.
        """
        ...


class MujocoPictures:
    """Draws the scenes of a MuJoCo model, as its first camera sees them, or one that shows all of it.

    A model without lights is lit more brightly than by MuJoCo, and one without a sky gets one.

    Parameters
    ----------
    path
        The model, as MJCF.
    """

    def __init__(self, path: Path) -> None:
        self._mujoco: Any = load_package("Mujoco")
        self._model: Any = self._lit(path)
        # Bodies that sleep in the run must be placed, too.
        sleep = getattr(self._mujoco.mjtEnableBit, "mjENBL_SLEEP", None)
        if sleep is not None:
            self._model.opt.enableflags &= ~int(sleep)
        self._data: Any = self._mujoco.MjData(self._model)
        self._free: Any = None if self._model.ncam else self._free_camera()
        self._centre: Any = None if self._free is None else self._free.lookat.copy()
        self._moves = bool((self._model.jnt_type == int(self._mujoco.mjtJoint.mjJNT_FREE)).any())
        self._renderer: Any = None

    def draw(self, scene: Any, width: int, height: int) -> Any:
        """Return the pixels of a scene; raise `InvalidState` if it is another model's."""
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        state = scene["integration"]
        if state.shape != (self._mujoco.mj_stateSize(self._model, kind),):
            raise InvalidState("The state doesn't fit the model: it is of another one, or another MuJoCo.")
        self._mujoco.mj_resetData(self._model, self._data)
        self._mujoco.mj_setState(self._model, self._data, state, kind)
        self._mujoco.mj_forward(self._model, self._data)
        renderer = self._renderer_of(width, height)
        if self._free is None:
            renderer.update_scene(self._data, 0)
        else:
            if self._moves:
                self._follow()
            renderer.update_scene(self._data, self._free)
        return renderer.render()

    def _lit(self, path: Path) -> Any:
        """Return the model; what is added has no state."""
        mujoco = self._mujoco
        spec = mujoco.MjSpec.from_file(str(path))
        if not any(texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX for texture in spec.textures):
            spec.add_texture(
                name="perdure sky",
                type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
                builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
                rgb1=SKY,
                rgb2=GROUND,
                width=SKY_PIXELS,
                height=6 * SKY_PIXELS,
            )
        model = spec.compile()
        if not model.nlight:
            model.vis.headlight.ambient[:] = AMBIENT
            model.vis.headlight.diffuse[:] = DIFFUSE
        return model

    def _free_camera(self) -> Any:
        """Return a camera that looks at the model's centre, and shows some room around the model."""
        camera = self._mujoco.MjvCamera()
        self._mujoco.mjv_defaultFreeCamera(self._model, camera)
        camera.distance *= AWAY
        camera.elevation = ELEVATION
        return camera

    def _follow(self) -> None:
        """Point the free camera at where the model has moved to, in strides; so it mostly stands still."""
        stride = self._model.stat.extent
        left = self._data.subtree_com[0] - self._centre
        self._free.lookat[:] = self._centre + stride * np.nan_to_num(np.round(left / stride))

    def _renderer_of(self, width: int, height: int) -> Any:
        if self._renderer is None or (self._renderer.width, self._renderer.height) != (width, height):
            if self._renderer is not None:
                self._renderer.close()
            view = self._model.vis.global_
            view.offwidth, view.offheight = max(view.offwidth, width), max(view.offheight, height)
            self._renderer = self._mujoco.Renderer(self._model, height, width)
        return self._renderer


class GymnasiumPictures:
    """Draws the scenes of an environment in a copy of it, by its render mode ``rgb_array``.

    Parameters
    ----------
    name
        The environment's name.
    seed
        The seed that it was made with.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._copy = Gymnasium(name, seed, render_mode="rgb_array")

    def draw(self, scene: Any, width: int, height: int) -> Any:
        """Return the pixels of a scene, in the environment's own size."""
        self._copy.restore(scene)
        pixels = np.asarray(self._copy.render())
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise Invalid(f"The environment {self._name!r} draws nothing in the render mode rgb_array.")
        if not 0 < min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= LARGEST:
            raise Invalid(
                f"The environment {self._name!r} draws {pixels.shape[1]} × {pixels.shape[0]} pixels."
            )
        return pixels


def make_pictures(kind: str, world: str, folder: Path, seed: int) -> Pictures:
    """Return what draws the scenes of the simulator that `make_simulator` makes of the same."""
    match kind:
        case "Mujoco":
            return MujocoPictures(folder / world)
        case "OpenAI":
            return GymnasiumPictures(world, seed)
    raise unknown_simulator(kind)


def png(pixels: Any) -> bytes:
    """Return an image as a PNG file.

    Parameters
    ----------
    pixels
        Bytes by row, column and colour (red, green, blue).
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), _LEVEL)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
