"""Curves: the graphical functions of an XMILE document.

Source: XMILE 1.0, section 3.1.4.
"""

from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.xmile.tags import Tag

__all__ = ["curve_of"]


def curve_of(tag: Tag) -> form.Curve | None:
    """Return the curve of a ``gf`` tag; None if it has no points."""
    ys = _numbers(tag.first("ypts"))
    xs = _numbers(tag.first("xpts"))
    points = [(point.get("x"), point.get("y")) for point in tag.each("pt", "point")]
    if not ys and points:
        pairs = [(_number(x or ""), _number(y or "")) for x, y in points]
    elif not ys:
        return None
    else:
        scale = tag.first("xscale")
        if not xs:
            if scale is None:
                raise Unservable("the graphical function has no x values")
            low, high = (_number(scale.get(end) or "") for end in ("min", "max"))
            step = (high - low) / (len(ys) - 1) if len(ys) > 1 else 0.0
            xs = [low + i * step for i in range(len(ys))]
            xs[-1] = high if len(ys) > 1 else low
        if len(xs) != len(ys):
            raise Unservable(f"the graphical function has {len(xs)} x values and {len(ys)} y values")
        pairs = list(zip(xs, ys, strict=True))
    kind = (tag.get("type") or "").lower() or (
        "discrete" if tag.attributes.get("discrete") == "true" else "continuous"
    )
    match kind:
        case "continuous" | "extrapolate" | "discrete":
            return form.Curve(tuple(sorted(pairs, key=lambda pair: pair[0])), kind)
    raise Unservable(
        f"a graphical function of the type {kind!r} isn't there; continuous, extrapolate and discrete are"
    )


def _numbers(tag: Tag | None) -> list[float]:
    if tag is None:
        return []
    separator = tag.get("sep")
    if separator is None:
        separator = next((sign for sign in ",;" if sign in tag.text), None)
    return [_number(part) for part in tag.text.split(separator) if part.strip()]


def _number(text: str) -> float:
    try:
        return float(text.strip())
    except ValueError:
        raise Unservable(f"{text.strip()!r:.40} in a graphical function is no number") from None
