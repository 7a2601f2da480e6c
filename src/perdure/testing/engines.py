"""The conformance check of engines: the law that every engine must obey.

*Snapshot at any step, restore into a fresh engine, continue: every later output is bit-identical.*
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from perdure.engines.base import Engine
from perdure.errors import PerdureError
from perdure.state.codec import decode, encode

__all__ = ["EngineConformance"]


class EngineConformance:
    """Checks an engine against the port's contract.

    Parameters
    ----------
    make
        Creates a fresh engine, not initialised.
    config
        The config that it is initialised with.
    inputs
        The inputs of each step to check; fewer are used if the engine finishes earlier.
    refused
        Inputs that the engine must refuse.

    Examples
    --------
    >>> from perdure.engines.system_dynamics import Model, SystemDynamicsEngine
    >>> model = Model(starttime=0.0, stoptime=3.0, dt=1.0)
    >>> model.stock("level").equation = 2.0
    >>> refused = [{"constants": {"unknown": 1.0}}]
    >>> EngineConformance(lambda: SystemDynamicsEngine(model), {}, [{}] * 4, refused).check()
    """

    def __init__(
        self,
        make: Callable[[], Engine],
        config: Mapping[str, Any],
        inputs: Sequence[Mapping[str, Any]],
        refused: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._make = make
        self._config = config
        self._inputs = inputs
        self._refused = refused

    def check(self) -> None:
        """Check everything; raise `AssertionError` with the error and its step."""
        self.check_port()
        self.check_validates()
        self.check_repeats()
        self.check_resumes()

    def check_port(self) -> None:
        """Check that the engine has the port's methods, and is before its first step."""
        with closing(self._fresh()) as engine:
            assert isinstance(engine, Engine), f"{type(engine).__name__} lacks methods of the engine port"
            assert type(engine.time) is float, f"time must be a float, not {engine.time!r}"
            assert engine.finished is False, "a fresh engine must have something left to step"

    def check_validates(self) -> None:
        """Check that `validate` refuses exactly what `step` refuses, at every step, and changes nothing."""
        with closing(self._fresh()) as engine:
            for step, inputs in enumerate(self._inputs):
                if engine.finished:
                    break
                before = encode(engine.snapshot())
                refusal = _refusal(engine.validate, inputs)
                assert refusal is None, f"validate refuses {inputs!r:.300} before step {step}: {refusal}"
                for wrong in self._refused:
                    refusal = _refusal(engine.validate, wrong)
                    assert refusal is not None, f"validate takes {wrong!r:.300}, which must be refused"
                    self._check_step_refuses(wrong, before, refusal)
                assert encode(engine.snapshot()) == before, f"validate changed the engine at step {step}"
                engine.step(inputs)

    def _check_step_refuses(self, inputs: Mapping[str, Any], state: bytes, beforehand: PerdureError) -> None:
        """Check that an engine at `state` refuses `inputs` with the error that `validate` raised."""
        # A new engine, since one that has raised an error can't be used again.
        with closing(self._fresh()) as engine:
            engine.restore(decode(state))
            refusal = _refusal(engine.step, inputs)
            assert (type(refusal), str(refusal)) == (type(beforehand), str(beforehand)), (
                f"with {inputs!r:.300} validate says {beforehand!r}, step {refusal!r}"
            )

    def check_repeats(self) -> None:
        """Check that the same config and inputs give the same outputs, bit for bit."""
        first, second = self._recorded(), self._recorded()
        for step, (one, other) in enumerate(zip(first, second, strict=True)):
            assert one == other, f"a second run differs at step {step}: {_shown(one)} and {_shown(other)}"

    def check_resumes(self) -> None:
        """Check the law of engines at every step, the start and the end included."""
        uninterrupted = self._recorded()
        for cut in range(len(uninterrupted) + 1):
            with closing(self._fresh()) as engine:
                for inputs in self._inputs[:cut]:
                    engine.step(inputs)
                # Through bytes, as in a savepoint, so that nothing of the old engine is shared.
                state = decode(encode(engine.snapshot()))
                time, finished = engine.time, engine.finished
            with closing(self._fresh()) as resumed:
                resumed.restore(state)
                where = f"after a snapshot at step {cut}"
                assert (resumed.time, resumed.finished) == (time, finished), f"time differs {where}"
                assert encode(resumed.snapshot()) == encode(state), f"the snapshot itself differs {where}"
                for step in range(cut, len(uninterrupted)):
                    answer = encode(dict(resumed.step(self._inputs[step])))
                    assert answer == uninterrupted[step], (
                        f"{where}, step {step} answers {_shown(answer)}, not {_shown(uninterrupted[step])}"
                    )

    def _fresh(self) -> Engine:
        engine = self._make()
        engine.initialize(self._config)
        return engine

    def _recorded(self) -> list[bytes]:
        """Return the encoded outputs of an uninterrupted run."""
        with closing(self._fresh()) as engine:
            outputs = []
            for inputs in self._inputs:
                if engine.finished:
                    break
                outputs.append(encode(dict(engine.step(inputs))))
            return outputs


def _refusal(method: Callable[[Mapping[str, Any]], object], inputs: Mapping[str, Any]) -> PerdureError | None:
    """Return the error that `method` raises for the inputs, or None."""
    try:
        method(inputs)
    except PerdureError as error:
        return error
    return None


def _shown(answer: bytes) -> str:
    return f"{decode(answer)!r:.300}"
