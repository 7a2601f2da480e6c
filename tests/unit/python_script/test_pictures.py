"""Pictures are PNG files."""

import numpy as np
import pytest
from tests.support.scenes import pixels_of

from perdure.engines.python_script.simulators.pictures import png


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (480, 640)])
def test_a_png_has_the_pixels_that_it_was_made_of(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
    assert (pixels_of(png(pixels)) == pixels).all()
