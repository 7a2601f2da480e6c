"""The conformance check of engines: the law that every engine must obey.

*Snapshot at any step, restore into a fresh engine, go on, and every later output is bit-identical.*
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perdure.engines.base import Engine
from perdure.state.codec import decode, encode

__all__ = ["EngineConformance"]


class EngineConformance:
    """Checks an engine against the port's contract.

    Parameters
    ----------
    make
        Makes a fresh engine, not initialised.
    config
        What it is initialised with.
    inputs
        The inputs of each step, as many as are to be checked; fewer are taken if the engine finishes earlier.

    Examples
    --------
    >>> from perdure.engines.system_dynamics import Model, SystemDynamicsEngine
    >>> model = Model(starttime=0.0, stoptime=3.0, dt=1.0)
    >>> model.stock("level").equation = 2.0
    >>> EngineConformance(lambda: SystemDynamicsEngine(model), {}, [{}] * 4).check()
    """

    def __init__(
        self, make: Callable[[], Engine], config: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]
    ) -> None:
        self._make = make
        self._config = config
        self._inputs = inputs

    def check(self) -> None:
        """Check everything; raise `AssertionError` with what is wrong, and at which step."""
        self.check_port()
        self.check_repeats()
        self.check_resumes()

    def check_port(self) -> None:
        """Check that the engine has the port's methods, and starts before its first step."""
        engine = self._fresh()
        try:
            assert isinstance(engine, Engine), f"{type(engine).__name__} lacks methods of the engine port"
            assert type(engine.time) is float, f"time must be a float, not {engine.time!r}"
            assert engine.finished is False, "a fresh engine must have something left to step"
        finally:
            engine.close()

    def check_repeats(self) -> None:
        """Check that the same config and inputs give the same outputs, bit for bit."""
        first, second = self._recorded(), self._recorded()
        for step, (one, other) in enumerate(zip(first, second, strict=True)):
            assert one == other, f"a second run differs at step {step}: {_shown(one)} and {_shown(other)}"

    def check_resumes(self) -> None:
        """Check the law of engines at every step, the start and the end included."""
        uninterrupted = self._recorded()
        for cut in range(len(uninterrupted) + 1):
            engine = self._fresh()
            try:
                for inputs in self._inputs[:cut]:
                    engine.step(inputs)
                # Through bytes, as a savepoint goes, so that nothing of the old engine lives on.
                state = decode(encode(engine.snapshot()))
                time, finished = engine.time, engine.finished
            finally:
                engine.close()
            resumed = self._fresh()
            try:
                resumed.restore(state)
                where = f"after a snapshot at step {cut}"
                assert (resumed.time, resumed.finished) == (time, finished), f"time differs {where}"
                assert encode(resumed.snapshot()) == encode(state), f"the snapshot itself differs {where}"
                for step in range(cut, len(uninterrupted)):
                    answer = encode(dict(resumed.step(self._inputs[step])))
                    assert answer == uninterrupted[step], (
                        f"{where}, step {step} answers {_shown(answer)}, not {_shown(uninterrupted[step])}"
                    )
            finally:
                resumed.close()

    def _fresh(self) -> Engine:
        engine = self._make()
        engine.initialize(self._config)
        return engine

    def _recorded(self) -> list[bytes]:
        """Return the encoded outputs of an uninterrupted run."""
        engine = self._fresh()
        try:
            outputs = []
            for inputs in self._inputs:
                if engine.finished:
                    break
                outputs.append(encode(dict(engine.step(inputs))))
            return outputs
        finally:
            engine.close()


def _shown(answer: bytes) -> str:
    return f"{decode(answer)!r:.300}"
