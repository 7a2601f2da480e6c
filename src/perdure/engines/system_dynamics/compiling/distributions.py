"""Random numbers without state: each draw is a hash of its purpose.

A draw is f(seed, stream, variable, ordinal of the call in its equation, step, index of the draw). The first
four are hashed once into a 64-bit key (BLAKE2b); key, step and index are mixed by the finaliser of SplitMix64
(Steele, Lea and Flood 2014), whose output passes the usual test batteries. So a run repeats exactly however
it is cut, and scenarios are independent of each other. The samplers are implemented here, because those of a
library may change between versions; parameters have the same meaning as in NumPy. Outside its domain a
sampler returns nan.
"""

import math
import struct
from collections.abc import Callable
from hashlib import blake2b
from statistics import NormalDist

__all__ = ["SAMPLERS", "draw_key", "key_of_draw"]

_MASK = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15
_normal_quantile = NormalDist().inv_cdf
_log, _log1p, _sqrt, _exp, _inf, _nan = math.log, math.log1p, math.sqrt, math.exp, math.inf, math.nan


def draw_key(seed: int, stream: str, variable: str, ordinal: int) -> int:
    """Return the 64-bit key of one random call; other calls, streams and seeds have different keys."""
    digest = blake2b(digest_size=8, person=b"perdure-draws")
    # The lengths keep ("a", "bc") and ("ab", "c") apart.
    for part in (
        struct.pack("<Q", seed & _MASK),
        stream.encode(),
        variable.encode(),
        struct.pack("<Q", ordinal),
    ):
        digest.update(struct.pack("<Q", len(part)) + part)
    return int.from_bytes(digest.digest(), "little")


def key_of_draw(seed: int, stream: str, variable: str, ordinal: float | str) -> int:
    """Return the key of a random call, of which an `Instruction` holds the ordinal.

    A call with a seed of its own has the same key in every run.
    """
    if isinstance(ordinal, float):
        return draw_key(seed, stream, variable, int(ordinal))
    number, own = ordinal.split()
    return draw_key(int(own), "", variable, int(number))


def _mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def _bits(key: int, n: int) -> int:
    """Return the first 64 bits drawn with `key` at step `n`."""
    return _mix((key + (n + 1) * _GOLDEN) & _MASK)


def _unit(bits: int) -> float:
    """Return 52 of the bits as a number strictly between 0 and 1."""
    return ((bits >> 12) + 0.5) * 2.0**-52


class _Draws:
    """The sequence of numbers that a rejection sampler draws for one call at one step."""

    __slots__ = ("state",)

    def __init__(self, key: int, n: int) -> None:
        self.state = _bits(key, n)

    def unit(self) -> float:
        self.state = (self.state + _GOLDEN) & _MASK
        return _unit(_mix(self.state))


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))


def uniform(key: int, n: int, low: float, high: float) -> float:
    return low + (high - low) * ((_bits(key, n) >> 11) * 2.0**-53)


def montecarlo(key: int, n: int, p: float, dt: float) -> float:
    return 1.0 if 100.0 * ((_bits(key, n) >> 11) * 2.0**-53) < p * dt else 0.0


def normal(key: int, n: int, mean: float, stddev: float) -> float:
    if not stddev >= 0.0:
        return _nan
    return mean + stddev * _normal_quantile(_unit(_bits(key, n)))


def lognormal(key: int, n: int, mean: float, stddev: float) -> float:
    try:
        return _exp(normal(key, n, mean, stddev))
    except OverflowError:
        return _inf


def exprnd(key: int, n: int, mean: float) -> float:
    if not mean > 0.0:
        return _nan
    return -mean * _log(_unit(_bits(key, n)))


def logistic(key: int, n: int, mean: float, scale: float) -> float:
    if not scale >= 0.0:
        return _nan
    u = _unit(_bits(key, n))
    return mean + scale * (_log(u) - _log1p(-u))


def pareto(key: int, n: int, shape: float, scale: float) -> float:
    if not (shape > 0.0 and scale > 0.0):
        return _nan
    exponent = -_log(_unit(_bits(key, n))) / shape
    return math.expm1(exponent) * scale if exponent < 709.0 else _inf


def weibull(key: int, n: int, shape: float, scale: float) -> float:
    if not (shape > 0.0 and scale > 0.0):
        return _nan
    exponent = _log(-_log(_unit(_bits(key, n)))) / shape
    return _exp(exponent) * scale if exponent < 709.0 else _inf


def triangular(key: int, n: int, low: float, mode: float, high: float) -> float:
    if low == mode == high:
        return low
    if not low <= mode <= high:
        return _nan
    u = _unit(_bits(key, n))
    width = high - low
    # The density rises with the square root up to the mode, whose probability is the ratio of the widths.
    if u < (mode - low) / width:
        return low + _sqrt(u * width * (mode - low))
    return high - _sqrt((1.0 - u) * width * (high - mode))


def geometric(key: int, n: int, p: float) -> float:
    if p <= 0.0 or p >= 1.0:
        return 1.0
    if p != p:
        return _nan
    return max(1.0, float(math.ceil(_log(_unit(_bits(key, n))) / _log1p(-p))))


def gamma(key: int, n: int, shape: float, scale: float) -> float:
    if not (shape > 0.0 and scale > 0.0 and _finite(shape, scale)):
        return _nan
    return _gamma(_Draws(key, n), shape) * scale


def beta(key: int, n: int, a: float, b: float) -> float:
    if not (a > 0.0 and b > 0.0 and _finite(a, b)):
        return _nan
    return _beta(_Draws(key, n), a, b)


def poisson(key: int, n: int, mu: float) -> float:
    if not (mu >= 0.0 and _finite(mu)):
        return _nan
    return _poisson(_Draws(key, n), mu)


def negbinomial(key: int, n: int, successes: float, p: float) -> float:
    if not (successes > 0.0 and 0.0 < p <= 1.0 and _finite(successes)):
        return _nan
    draws = _Draws(key, n)
    mean = _gamma(draws, successes) * ((1.0 - p) / p)
    return _poisson(draws, mean) if math.isfinite(mean) else _inf


def binomial(key: int, n: int, trials: float, p: float) -> float:
    if not (trials >= 0.0 and 0.0 <= p <= 1.0 and _finite(trials)):
        return _nan
    return _binomial(_Draws(key, n), int(trials), p)


def _gamma(draws: _Draws, shape: float) -> float:
    """Draw a standard gamma variable (Marsaglia and Tsang 2000)."""
    if shape < 1.0:
        return _exp(_log_gamma(draws, shape))
    d = shape - 1.0 / 3.0
    c = 1.0 / _sqrt(9.0 * d)
    while True:
        x = _normal_quantile(draws.unit())
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u = draws.unit()
        if u < 1.0 - 0.0331 * x * x * x * x or _log(u) < 0.5 * x * x + d * (1.0 - v + _log(v)):
            return d * v


def _log_gamma(draws: _Draws, shape: float) -> float:
    """Draw the logarithm of a standard gamma variable, which may underflow itself for a small shape."""
    if shape >= 1.0:
        return _log(_gamma(draws, shape))
    return _log(_gamma(draws, shape + 1.0)) + _log(draws.unit()) / shape


def _beta(draws: _Draws, a: float, b: float) -> float:
    """Draw a beta variable as X / (X + Y) of two gamma variables."""
    if a >= 1.0 and b >= 1.0:
        x = _gamma(draws, a)
        return x / (x + _gamma(draws, b))
    difference = _log_gamma(draws, b) - _log_gamma(draws, a)
    return 1.0 / (1.0 + _exp(difference)) if difference < 700.0 else 0.0


def _binomial(draws: _Draws, trials: int, p: float) -> float:
    """Draw a binomial variable by splitting at a median of order statistics (Devroye 1986, X.4.3)."""
    successes = 0
    while trials > 20 and 0.0 < p < 1.0:
        a = 1 + trials // 2
        b = trials + 1 - a
        x = _beta(draws, float(a), float(b))
        if x >= p:
            trials = a - 1
            p = p / x
        else:
            successes += a
            trials = b - 1
            p = (p - x) / (1.0 - x)
    if p >= 1.0:
        successes += trials
    elif p > 0.0:
        successes += sum(draws.unit() < p for _ in range(trials))
    return float(successes)


def _poisson(draws: _Draws, mu: float) -> float:
    """Draw a Poisson variable: by inversion below 10, otherwise by PTRS (Hörmann 1993)."""
    if mu < 10.0:
        return _poisson_by_inversion(draws.unit(), mu)
    b = 0.931 + 2.53 * _sqrt(mu)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u = draws.unit() - 0.5
        v = draws.unit()
        us = 0.5 - abs(u)
        k = float(math.floor((2.0 * a / us + b) * u + mu + 0.43))
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        if _log(v * inverse_alpha / (a / (us * us) + b)) <= _poisson_log_density(k, mu):
            return k


def _poisson_by_inversion(u: float, mu: float) -> float:
    density = cumulative = _exp(-mu)
    k = 0
    # The sum may end a rounding error short of u; beyond 200 there is nothing left to add.
    while u > cumulative and k < 200:
        k += 1
        density *= mu / k
        cumulative += density
    return float(k)


def _poisson_log_density(k: float, mu: float) -> float:
    """Return log(mu^k e^-mu / k!) without cancellation (Loader 2000)."""
    if k == 0.0:
        return -mu
    # Stirling's error: log k! less its leading terms.
    if k < 16.0:
        error = math.lgamma(k + 1.0) - (k + 0.5) * _log(k) + k - 0.5 * _log(2.0 * math.pi)
    else:
        q = 1.0 / (k * k)
        error = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - q / 1680.0) * q) * q) / k
    return -error - _deviance(k, mu) - 0.5 * _log(2.0 * math.pi * k)


def _deviance(k: float, mu: float) -> float:
    """Return k·log(k/mu) + mu - k; near k = mu by its series, since the terms cancel there."""
    difference = k - mu
    if abs(difference) >= 0.1 * (k + mu):
        return k * _log(k / mu) + mu - k
    v = difference / (k + mu)
    total = difference * v
    term = 2.0 * k * v
    j = 1
    while True:
        term *= v * v
        following = total + term / (2 * j + 1)
        if following == total:
            return total
        total = following
        j += 1


SAMPLERS: dict[str, Callable[..., float]] = {
    sampler.__name__: sampler
    for sampler in (
        beta, binomial, exprnd, gamma, geometric, logistic, lognormal, montecarlo, negbinomial, normal,
        pareto, poisson, triangular, uniform, weibull,
    )
}  # fmt: skip
"""The samplers by their names in the language; each takes a key, the step and the parameters."""
