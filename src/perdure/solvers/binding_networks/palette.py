"""The colours of a picture: those of its domains, and the others."""

import colorsys
import math
from collections.abc import Mapping

from perdure.solvers.binding_networks.network import Network

__all__ = ["BOX", "EDGE", "INERT", "INK", "PAPER", "QUIET", "colours_of"]

INK = "#1f2933"
QUIET = "#5f6b7a"
PAPER = "#ffffff"
BOX = "#f4f6f8"
EDGE = "#d5dae1"

# For domains without a complementary site in the network.
INERT = "#8a8f98"

# After Okabe and Ito: distinguishable with all kinds of colour vision; dark enough for white text.
COLOURS = ("#0072b2", "#c44e00", "#00835f", "#b0407f", "#7a6000", "#5b3f9e", "#a12b2b", "#1b7f8c")

GOLDEN_RATIO = 0.618033988749895


def colours_of(network: Network) -> Mapping[str, str]:
    """Return the colour of every domain with both sides in the network, in the order of the network.

    Beyond the first colours, hues advance by the golden ratio, so those of neighbours differ strongly.
    """
    sides: dict[str, set[bool]] = {}
    for monomer in network.monomers:
        for site in monomer.sites:
            sides.setdefault(site.domain, set()).add(site.starred)
    active = [domain for domain, both in sides.items() if len(both) == 2]
    if len(active) <= len(COLOURS):
        return dict(zip(active, COLOURS, strict=False))
    return {domain: _hue(number) for number, domain in enumerate(active)}


def _hue(number: int) -> str:
    """Return a colour with its own hue, bright enough to differ, dark enough for white text."""
    brightest = (0.22, 0.13, 0.07)[number % 3]
    lightness = 0.5
    channels = _channels(number, lightness)
    while _luminance(channels) > brightest:
        lightness -= 0.01
        channels = _channels(number, lightness)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _channels(number: int, lightness: float) -> tuple[float, float, float]:
    return colorsys.hls_to_rgb((0.57 + number * GOLDEN_RATIO) % 1, lightness, 0.7)


def _luminance(channels: tuple[float, float, float]) -> float:
    """Return the approximate brightness of a colour, from 0 to 1 (WCAG 2.1, with a plain gamma)."""
    weights = (0.2126, 0.7152, 0.0722)
    return math.fsum(weight * channel**2.2 for weight, channel in zip(weights, channels, strict=True))
