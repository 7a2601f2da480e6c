"""Arrays: which scalar expressions an expression over arrays stands for.

An array is an element whose cells are elements of their own, named ``x[0]``, ``x[a]`` or ``x[0][1]``. An
expression that reads an array has its shape and is computed cell by cell; nothing is computed here. Nothing
recurses into operands but products, so Python's stack doesn't limit the depth of expressions.
"""

from collections.abc import Iterator, Sequence

from perdure.engines.system_dynamics.expression import (
    DotProduct,
    Expression,
    FunctionCall,
    Number,
    Operation,
    Summary,
    Variable,
)
from perdure.engines.system_dynamics.shapes import SCALAR, Index, Shape
from perdure.errors import ModelError

__all__ = ["Spread", "summarized"]

_SUMMARIES = {
    "arr_sum": "array_sum",
    "arr_prod": "array_product",
    "arr_mean": "array_mean",
    "arr_median": "array_median",
    "arr_stddev": "array_stddev",
    "arr_min": "array_min",
    "arr_max": "array_max",
}


class Spread:
    """An expression with its shape, and the scalar expression of each cell.

    Parameters
    ----------
    expression
        The expression.
    where
        What has it, for messages, such as ``the equation of 'x'``.

    Raises
    ------
    ModelError
        If it combines arrays that don't fit together.
    """

    def __init__(self, expression: Expression, where: str) -> None:
        self.expression = expression
        self._where = where
        self._shapes: dict[int, Shape] = {}
        todo: list[tuple[Expression, bool]] = [(expression, False)]
        while todo:
            node, ready = todo.pop()
            if id(node) in self._shapes:
                continue
            parts = node.parts
            if ready or not parts:
                self._shapes[id(node)] = self._shape_of(node, [self._shapes[id(part)] for part in parts])
            else:
                todo.append((node, True))
                todo += [(part, False) for part in parts]

    @property
    def shape(self) -> Shape:
        """The shape, SCALAR if it is a single number."""
        return self._shapes[id(self.expression)]

    def cells(self) -> Iterator[tuple[Index, Expression]]:
        """Yield the index and the expression of each cell, the last axis fastest."""
        for index in self.shape.indices():
            yield index, self.at(self.expression, index)

    def at(self, expression: Expression, index: Index) -> Expression:
        """Return the cell of a part of the expression; a single number is the same for all cells."""
        made: dict[int, Expression] = {}
        todo = [expression]
        while todo:
            node = todo[-1]
            parts = node.parts
            if not self._shapes[id(node)].axes:
                made[id(node)] = node
            elif isinstance(node, Variable):
                made[id(node)] = node.cell(index)
            elif isinstance(node, DotProduct):
                made[id(node)] = self.product(node, index)
            elif missing := [part for part in parts if id(part) not in made]:
                todo += missing
                continue
            else:
                made[id(node)] = node.with_parts(tuple(made[id(part)] for part in parts))
            todo.pop()
        return made[id(expression)]

    def product(self, node: DotProduct, index: Index = ()) -> Expression:
        """Return a cell of a product of arrays: the sum over the labels of the axis where they meet."""
        left, right = (self._shapes[id(part)] for part in node.parts)
        if not left.axes or not right.axes:
            return self.at(node.left, index) * self.at(node.right, index)
        rows, columns = index[: len(left.axes) - 1], index[len(left.axes) - 1 :]
        return Operation(
            "array_sum",
            tuple(
                self.at(node.left, (*rows, label)) * self.at(node.right, (label, *columns))
                for label in left.axes[-1]
            ),
        )

    def _shape_of(self, node: Expression, shapes: Sequence[Shape]) -> Shape:
        if isinstance(node, Variable):
            return node.shape
        if isinstance(node, DotProduct):
            return self._product_shape(*shapes)
        if isinstance(node, Summary):
            depth = max(1, len(shapes[0].axes))
            if node.dimension not in ("*", depth):
                raise self._error(
                    f"asks {node.operator} for dimension {node.dimension!r:.40}; it takes all cells, which "
                    f'are dimension "*" or {depth}, and x[0].{node.operator}() those of one row'
                )
            if node.rank is not None and shapes[1].axes:
                raise self._error("asks for the rank of an array's cell by another array")
            return SCALAR
        if isinstance(node, FunctionCall) and not node.elementwise:
            return SCALAR
        found = SCALAR
        for shape in shapes:
            if found.axes and shape.axes and not found.fits(shape):
                raise self._error(f"combines arrays of different shapes: {found} and {shape}")
            found = found if found.axes else shape
        return found

    def _product_shape(self, left: Shape, right: Shape) -> Shape:
        if not left.axes and not right.axes:
            raise self._error("takes the dot product of two single values; multiply them with *")
        if not left.axes or not right.axes:
            return left if left.axes else right
        inner = Shape(left.axes[-1:], left.named)
        if not inner.fits(right.first()):
            raise self._error(
                f"takes the dot product of {left} and {right}; the last axis of the left array and the first "
                "one of the right array must have the same labels"
            )
        axes = (*left.axes[:-1], *right.axes[1:])
        return Shape(axes, left.named and bool(axes))

    def _error(self, problem: str) -> ModelError:
        return ModelError(f"{self._where[0].upper()}{self._where[1:]} {problem}.")


def summarized(node: Summary, where: str) -> Expression:
    """Return what a summary is computed from: an operation on the cells, in their order.

    Of what has no cells, the sum and the product are its value, and all others 0, as in BPTK-Py.
    """
    spread = Spread(node.operand, where)
    shape = spread.shape
    if not shape.axes:
        return node.operand if node.operator in ("arr_sum", "arr_prod") else Number(0.0)
    if node.operator == "arr_size":
        return Number(float(len(shape.axes[0])))
    cells = tuple(cell for _, cell in spread.cells())
    if node.rank is not None:
        return Operation("array_rank", (node.rank, *cells))
    return Operation(_SUMMARIES[node.operator], cells)
