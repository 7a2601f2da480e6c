"""Equations: XMILE's expressions as those of a form, read by precedence (Pratt 1973).

Source: XMILE 1.0, section 3.3.1. From loose to tight: ``IF``, ``OR``, ``AND``, equality, other comparisons,
``+`` and ``-``, ``*``, ``/``, ``//`` and ``MOD``, signs and ``NOT``, ``^``. Powers and signs go from right
to left, all others from left to right: 2^3^2 is 512, -3^2 is -9 and ``NOT a = b`` is ``(NOT a) = b``.
"""

import math

from perdure.engines.system_dynamics.sources.form import (
    Between,
    Call,
    Computed,
    Item,
    Name,
    Node,
    Number,
    Operation,
    Subscript,
    Whole,
)
from perdure.engines.system_dynamics.sources.limits import MAX_LENGTH, MAX_NESTING
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.xmile.tokens import Token, tokens_of

__all__ = ["equation_of"]

_UNKNOWN = "???"
"""What the converter xmutil writes for an equation that it doesn't know."""

_INFIX = {
    "or": (10, "or"),
    "and": (20, "and"),
    "=": (40, "equal"),
    "<>": (40, "not_equal"),
    "<": (50, "less"),
    "<=": (50, "less_equal"),
    ">": (50, "greater"),
    ">=": (50, "greater_equal"),
    "+": (60, "add"),
    "-": (60, "subtract"),
    "*": (70, "multiply"),
    "/": (70, "divide"),
    "//": (70, "safediv"),
    "mod": (70, "modulo"),
    "^": (90, "power"),
}
"""Operators with how tightly they bind and their name in a form."""

_SIGN = 80


def equation_of(text: str) -> Node | None:
    """Return the expression of an equation; None if there is none but blanks, comments and ``???``.

    Raises
    ------
    Unservable
        If it isn't an equation, is too long, or is nested too deeply.
    """
    if len(text) > MAX_LENGTH:
        raise Unservable(f"an equation has {len(text)} characters; {MAX_LENGTH} are allowed")
    if text.strip() == _UNKNOWN:
        return None
    parser = _Parser(list(tokens_of(text)))
    return parser.whole()


class _Parser:
    """Reads the tokens of one equation."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Node | None:
        if len(self._tokens) == 1:
            return None
        node = self._expression(0)
        rest = self._next
        if rest.kind != "end":
            raise Unservable(f"{rest.text!r} isn't expected there")
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        """Take the next token; the end stays, so that there is always a next one."""
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _has(self, sign: str) -> bool:
        """Take a sign, if it comes next."""
        if self._next == ("sign", sign):
            self._at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._has(sign):
            found = self._next.text
            raise Unservable(
                f"{sign.upper()!r} is expected before {found!r}" if found else f"{sign.upper()!r} is missing"
            )

    def _expression(self, tightness: int) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise Unservable(f"it is nested more than {MAX_NESTING} levels deep")
        left = self._operand()
        while self._next.kind == "sign" and (infix := _INFIX.get(self._next.text)) and infix[0] > tightness:
            sign = self._take().text
            # A power takes all further powers on its right.
            right = self._expression(infix[0] - 1 if sign == "^" else infix[0])
            # Stella's // is a function by another name.
            left = (Call if sign == "//" else Operation)(infix[1], (left, right))
        self._depth -= 1
        return left

    def _operand(self) -> Node:
        kind, text = self._take()
        if kind == "number":
            value = float(text)
            if not math.isfinite(value):
                raise Unservable(f"the number {text} is too large")
            return Number(value)
        if kind in ("name", "quoted"):
            return self._named(text, quoted=kind == "quoted")
        match text:
            case "(":
                node = self._expression(0)
                self._need(")")
                return node
            case "-":
                node = self._expression(_SIGN)
                return Number(-node.value) if isinstance(node, Number) else Operation("negate", (node,))
            case "+":
                return self._expression(_SIGN)
            case "not":
                return Operation("not", (self._expression(_SIGN),))
            case "if":
                condition = self._expression(0)
                self._need("then")
                then = self._expression(0)
                self._need("else")
                return Operation("if", (condition, then, self._expression(0)))
            case "mod" if self._has("("):
                return Call("mod", self._arguments(")"))
        raise Unservable(f"{text!r} isn't expected there" if text else "it isn't complete")

    def _named(self, name: str, *, quoted: bool) -> Node:
        """Read what begins with a name: a variable, a cell or a call."""
        # Names of macros and functions may have blanks instead of underscores.
        while not quoted and self._next.kind == "name":
            name = f"{name} {self._take().text}"
        if self._has("("):
            return Call(name, self._arguments(")"))
        if self._has("["):
            subscripts = [self._subscript()]
            while self._has(","):
                subscripts.append(self._subscript())
            self._need("]")
            cell = Name(name, tuple(subscripts))
            # An array of graphical functions is called like one of them.
            return Call("lookup", (cell, *self._arguments(")"))) if self._has("(") else cell
        return Name(name)

    def _arguments(self, end: str) -> tuple[Node, ...]:
        if self._has(end):
            return ()
        arguments = [self._expression(0)]
        while self._has(",") or self._has(";"):
            arguments.append(self._expression(0))
        self._need(end)
        return tuple(arguments)

    def _subscript(self) -> Subscript:
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if self._next == ("sign", "*") and following.text in ("]", ",", ":"):
            self._take()
            if self._has(":"):
                return Whole(self._take().text)
            return Whole()
        first = self._next
        if first.kind in ("name", "quoted", "number"):
            if following.text in ("]", ","):
                self._take()
                return Item(first.text)
            if following.text == ":":
                self._at += 2
                last = self._take()
                if last.kind not in ("name", "quoted", "number"):
                    raise Unservable("a range of subscripts has no end")
                return Between(first.text, last.text)
        return Computed(self._expression(0))
