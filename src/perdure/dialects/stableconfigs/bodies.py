"""The bodies of `POST /task`, checked field by field; unknown fields are ignored."""

from typing import Any

from perdure.dialects.stableconfigs.mistakes import BadRequest
from perdure.web.bodies import LARGEST_NUMBER

__all__ = ["question_of"]


def question_of(body: dict[str, Any] | None) -> dict[str, Any]:
    """Return the input of the task that a request asks for; `BadRequest` names the field that is wrong.

    A monomer or constraint is a list of tokens; a string in its place is the list of its characters.
    """
    if body is None:
        raise BadRequest(415, "body", "send a JSON object, with `Content-Type: application/json`")
    if "monomers" not in body:
        raise BadRequest(422, "monomers", "it is missing: a list of monomers, each a list of sites")
    return {
        "monomers": _lines(body["monomers"], "monomers"),
        "constraints": _lines(_given(body, "constraints", []), "constraints"),
        "gen": _whole(_given(body, "gen", 1), "gen", 1),
        "min_polymers": max(0, _whole(_given(body, "init_k", 0), "init_k", -LARGEST_NUMBER)),
    }


def _given(body: dict[str, Any], name: str, default: Any) -> Any:
    value = body.get(name)
    return default if value is None else value


def _lines(value: Any, where: str) -> list[list[str]]:
    if not isinstance(value, list | str):
        raise BadRequest(422, where, "it is a list of lists of strings")
    lines = []
    for i, line in enumerate(value):
        if not isinstance(line, list | str):
            raise BadRequest(422, f"{where}[{i}]", "it is a list of strings")
        for j, token in enumerate(line):
            if not isinstance(token, str):
                raise BadRequest(422, f"{where}[{i}][{j}]", "it is a string")
        lines.append(list(line))
    return lines


def _whole(value: Any, where: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST_NUMBER:
        raise BadRequest(422, where, "it is a whole number" + (f" from {least} on" if least > 0 else ""))
    return value
