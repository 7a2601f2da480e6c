"""HiGHS: solves an integer program or its relaxation, within a deadline.

This module is imported only where it is needed: loading HiGHS takes longer than solving most small networks.
"""

from collections.abc import Callable, Iterable
from typing import Any

import highspy
import msgspec
import numpy as np
from numpy.typing import NDArray

from perdure.solvers.binding_networks.integer_program import Program
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Searched", "relax", "search"]

Improve = Callable[[NDArray[np.float64]], None]


class Searched(msgspec.Struct, frozen=True):
    """The result of branch and bound: whether it is finished, whether a solution may exist, and the bound."""

    done: bool
    feasible: bool
    bound: float


def relax(program: Program, watch: Watch, *, interior: bool = False) -> dict[int, float] | None:
    """Solve the linear relaxation; return the duals of its rows, or None without a solution in time.

    A dual is the worth of one more unit on the right-hand side of a row. With `interior`, the duals are taken
    from the interior of the best ones; they exclude more from best solutions than those of a corner.
    """
    solver = _solver(program, watch, maximise=False)
    if interior:
        solver.setOptionValue("solver", "ipm")
        solver.setOptionValue("run_crossover", "off")
    _run(solver, _RELAXING, lambda kind, out: watch.over)
    solution = solver.getSolution()
    # Interior duals aren't exactly optimal, and HiGHS reports no optimum; neither is necessary.
    usable = {highspy.HighsModelStatus.kOptimal} | (
        {highspy.HighsModelStatus.kUnknown} if interior else set()
    )
    if solver.getModelStatus() not in usable or not solution.row_dual:
        return None
    return {row: -dual for row, dual in enumerate(solution.row_dual)}


def search(
    program: Program,
    watch: Watch,
    *,
    enough: int,
    improved: Improve,
    bounded: Callable[[float], None],
) -> Searched:
    """Solve the integer program.

    Parameters
    ----------
    enough
        A value that can't be exceeded: a solution that reaches it ends the search.
    improved
        Called with each solution that is better than those before.
    bounded
        Called with upper bounds on the value.
    """
    solver = _solver(program, watch)
    count = len(program.upper)
    solver.changeColsIntegrality(
        count, np.arange(count, dtype=np.int32), np.full(count, highspy.HighsVarType.kInteger)
    )
    best = -np.inf

    def hear(kind: int, out: Any) -> bool | None:
        nonlocal best
        if kind == _SOLUTION:
            if out.objective_function_value > best + 0.5:
                best = out.objective_function_value
                improved(np.array(out.mip_solution, np.float64))
            return None
        if np.isfinite(out.mip_dual_bound):
            bounded(out.mip_dual_bound)
        return best > enough - 0.5 or watch.over

    _run(solver, (_SOLUTION, _INTERRUPT), hear)
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return Searched(done=True, feasible=False, bound=-np.inf)
    solution = solver.getSolution()
    if solution.value_valid and solver.getInfo().objective_function_value > best + 0.5:
        improved(np.array(solution.col_value, np.float64))
    return Searched(
        done=status == highspy.HighsModelStatus.kOptimal,
        feasible=True,
        bound=solver.getInfo().mip_dual_bound,
    )


def _run(solver: Any, kinds: Iterable[int], hear: Callable[[int, Any], bool | None]) -> None:
    """Run a solver that calls `hear` with the kind and the data of each callback.

    It returns whether to end the search, or None where HiGHS doesn't ask that.
    """
    raised: list[BaseException] = []

    def call(kind: int, message: str, out: Any, answer: Any, data: object) -> None:
        if raised:
            answer.user_interrupt = kind != _SOLUTION  # with a solution HiGHS doesn't ask
            return
        try:
            over = hear(kind, out)
            if over is not None:
                answer.user_interrupt = over
        except BaseException as error:  # can't pass through the solver; raised again when it has ended
            raised.append(error)

    solver.setCallback(call, None)
    for kind in kinds:
        solver.startCallbackInt(kind)
    solver.run()
    solver.clearCallbacks()
    if raised:
        raise raised[0]


_SOLUTION = int(highspy.cb.HighsCallbackType.kCallbackMipImprovingSolution)
_INTERRUPT = int(highspy.cb.HighsCallbackType.kCallbackMipInterrupt)
_RELAXING = tuple(
    int(kind)
    for kind in (
        highspy.cb.HighsCallbackType.kCallbackSimplexInterrupt,
        highspy.cb.HighsCallbackType.kCallbackIpmInterrupt,
    )
)


_HIGHS: Any = highspy.Highs


def _enable_callbacks_silently(solver: Any) -> None:
    """Turn off the output of HiGHS, then do what its constructor usually does.

    From 1.16 on, the constructor enables callbacks, and the first call of a method that isn't for options
    prints a banner; so the option must be set before. Redirecting the output isn't possible: file descriptors
    belong to the process, and other threads print too.
    """
    solver.setOptionValue("output_flag", False)
    _HIGHS.enableCallbacks(solver)


_SILENT: Any = type("Silent", (_HIGHS,), {"enableCallbacks": _enable_callbacks_silently})


def _solver(program: Program, watch: Watch, *, maximise: bool = True) -> Any:
    """Return HiGHS with a program, or with its negative to be minimised.

    If a maximisation is interrupted, HiGHS returns duals of the wrong sign (seen in 1.9).
    """
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.upper), len(program.row_upper)
    sign = 1 if maximise else -1
    model.sense_ = highspy.ObjSense.kMaximize if maximise else highspy.ObjSense.kMinimize
    model.offset_, model.col_cost_ = sign * program.offset, sign * program.objective
    model.col_upper_ = program.upper
    model.col_lower_ = np.zeros(len(program.upper))
    model.row_lower_, model.row_upper_ = program.row_lower, program.row_upper
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_col_, matrix.num_row_ = model.num_col_, model.num_row_
    matrix.start_, matrix.index_, matrix.value_ = program.starts, program.indices, program.values
    solver = _SILENT()
    for name, value in _OPTIONS.items():
        solver.setOptionValue(name, value)
    if np.isfinite(watch.remaining):
        solver.setOptionValue("time_limit", watch.remaining)
    solver.passModel(model)
    return solver


_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.99,  # the objective is an integer, so a gap below 1 proves the optimum
}
