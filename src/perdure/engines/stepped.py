"""The stepped engine: steps any engine for a session, on a grid of times, with settings and chosen outputs.

The engine itself advances by one dt at a time, and has no stop time. If its state can't be taken, the state
here consists of its inputs since its start, and a restore repeats them.
"""

import copy
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from perdure.engines.base import Asking, Engine, Observable
from perdure.engines.given_inputs import given_inputs
from perdure.engines.json_data import copied
from perdure.engines.kinds import new_engine
from perdure.engines.recorded import Notes, Recorded
from perdure.engines.reference import EngineReference, fingerprint_of
from perdure.engines.run_specs import RunSpecs
from perdure.errors import (
    EngineFinished,
    EvaluationFailed,
    InvalidScenario,
    InvalidState,
    ModelChanged,
    PerdureError,
    Refused,
    message_of,
)
from perdure.state.codec import State

__all__ = ["SteppedEngine", "make_stepped"]


class SteppedEngine:
    """Steps an engine; implements `perdure.engines.base.Engine`, `Asking` and `Replayable`.

    The first step returns the outputs at the start time. An engine whose outputs can be read before its first
    step isn't stepped for that; it gets the settings of this step in the next one.

    Parameters
    ----------
    name
        The model's name.
    make
        Creates the engine.
    config
        The engine's config, without ``seed`` and ``timestep``.
    inputs
        The names of its inputs.

    Attributes
    ----------
    refusal
        Why the last snapshot holds the engine's inputs, and not its state; None if it holds the state, or the
        engine hasn't been asked for it.
    """

    def __init__(
        self, name: str, make: Callable[[], Any], config: Mapping[str, Any], inputs: Collection[str]
    ) -> None:
        self._name = name
        self._make = make
        self._config = config
        self._inputs = inputs
        self._engine: Engine | None = None
        self._specs = RunSpecs(0.0, 0.0, 1.0)
        self._outputs: tuple[str, ...] = ()
        self._seed = 0
        self._first: dict[str, Any] = {}
        self._steps = 0  # taken
        self._pending: dict[str, Any] = {}  # inputs for the engine's next step
        self._answers: State = None
        self._ahead: Any = None  # recorded answers of the next step
        self.refusal: str | None = None

    @property
    def time(self) -> float:
        """The time of the last outputs, in the model's unit; the start time before the first step."""
        return self._specs.time(max(0, self._steps - 1) * self._specs.multiple)

    @property
    def finished(self) -> bool:
        """Whether the run has reached its stop time, or the engine is finished."""
        if self._steps == 0 or self._steps >= self._specs.answers:
            return self._steps >= self._specs.answers
        with self._own_errors():
            return bool(self._running.finished)

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Put the engine at its start.

        Parameters
        ----------
        config
            ``starttime``, ``stoptime``, ``dt``, ``timestep`` between two outputs (dt), ``outputs``,
            ``inputs`` that apply from the start, ``constants`` that replace inputs of the same names,
            ``seed`` and ``stream``, from which the engine's own seed is derived.

        Raises
        ------
        InvalidRunSpecs
            If the run specs are wrong.
        InvalidOverride
            If the model has no such input.
        EvaluationFailed
            If the engine raises what is no error of Perdure's.
        """
        times = {key: config[key] for key in ("starttime", "stoptime", "dt", "timestep") if key in config}
        self._specs = RunSpecs(**times, name=self._name)
        self._outputs = tuple(config["outputs"])
        self._first = {
            **given_inputs(self._name, {"inputs": config["inputs"]}, self._inputs),
            **given_inputs(self._name, {"constants": config["constants"]}, self._inputs),
        }
        seed = f"{config['seed']}\0{config['stream']}".encode()
        self._seed = int.from_bytes(hashlib.blake2b(seed, digest_size=6).digest(), "little")
        self._begin(None)

    def _begin(self, answers: State) -> None:
        """Create the engine again; at its start, it gets the recorded answers, if any."""
        self.close()
        with self._own_errors():
            engine = new_engine(self._name, self._make)
            if answers is not None and isinstance(engine, Asking):
                engine.give_answers(answers)
            config = copy.deepcopy({**self._config})  # the engine may change what it is given
            engine.initialize({**config, "seed": self._seed, "timestep": self._specs.dt})
        self._engine = engine
        self._recorded = Recorded(engine, f"the model {self._name!r}")
        self._notes = Notes()
        self._steps, self._pending = 0, dict(self._first)

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs; changes nothing.

        Raises
        ------
        InvalidOverride
            If the model has no such input, or a constant isn't a finite number.
        PerdureError
            If the engine refuses them.
        """
        given = given_inputs(self._name, inputs, self._inputs)
        with self._own_errors():
            self._running.validate(given)

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs at the next time.

        Parameters
        ----------
        inputs
            ``constants``, name to finite number, and ``inputs``, name to data; both optional.

        Raises
        ------
        InvalidOverride
            If the model has no such input; nothing has changed then.
        EngineFinished
            If nothing is left to step.
        EvaluationFailed
            If the engine raises what is no error of Perdure's, or lacks an output of the model.
        """
        given = {**self._pending, **given_inputs(self._name, inputs, self._inputs)}
        if self.finished:
            raise EngineFinished(name=self._name, time=self.time)
        ahead, self._ahead = self._ahead or {}, None
        if self._steps == 0 and "start" in ahead:
            self._begin(ahead["start"])
        start = self._recorded.began if self._steps == 0 else None
        answers_of_steps: list[tuple[int, State]] = []
        outputs: Mapping[str, Any] = {}
        with self._own_errors():
            if self._steps == 0 and isinstance(self._running, Observable):
                self._running.validate(given)
                outputs, self._pending = self._copied(self._running.outputs()), given
            else:
                for number in range(self._specs.multiple if self._steps else 1):
                    outputs, answers = self._advance(given, ahead.get("steps", {}).get(number))
                    given = self._pending = {}
                    if answers is not None:
                        answers_of_steps.append((number, answers))
            self._steps += 1
            answered = {name: self._output(outputs, name) for name in self._outputs}
        asked: dict[str, State] = {"start": start, "steps": dict(answers_of_steps)}
        given_out: dict[str, State] = {key: value for key, value in asked.items() if value}
        self._answers = given_out or None
        return answered

    def take_answers(self) -> State:
        """Return, once, the answers that the engine got in the last step; in the first, also at its start."""
        answers, self._answers = self._answers, None
        return answers

    def give_answers(self, answers: State) -> None:
        """Let the next step get the answers that `take_answers` returned for it."""
        if answers is not None and not isinstance(answers, dict):
            raise InvalidState(name=self._name, reason="the recorded answers aren't those of its engine")
        self._ahead = answers

    def snapshot(self) -> State:
        """Return the engine's state, or the records that lead to it.

        ``steps`` is the number of steps taken, ``pending`` the inputs for the engine's next step, ``engine``
        the state that `Recorded` returns, and ``start`` the answers that the engine got at its start, if it
        must be started again. Before the first step the state is empty.
        """
        state: dict[str, State] = {"steps": self._steps}
        if self._steps == 0:
            return state
        if self._pending:
            state["pending"] = self._pending
        with self._own_errors():
            kept: Any = self._recorded.snapshot(self._notes.of("given"), self._notes.of("answered"))
        self._notes.clear()
        refusal = self._recorded.refusal
        self.refusal = None if refusal is None else str(refusal)
        if kept[0] is None and self._recorded.began is not None:
            state["start"] = self._recorded.began
        state["engine"] = kept
        return state

    def restore(self, state: Any) -> None:
        """Go to a state that `snapshot` returned under the same config.

        Raises
        ------
        InvalidState
            If it isn't one.
        ReplayMismatch
            If the engine's inputs were repeated, and its outputs differ.
        """
        try:
            steps, pending = state["steps"], dict(state.get("pending", {}))
            kept = state["engine"] if steps else None
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidState(
                name=self._name, reason=f"it isn't that of a stepped engine: {error}"
            ) from error
        if not steps:
            return
        if "start" in state:
            self._begin(state["start"])
        with self._own_errors():
            self._recorded.restore(kept)
        self._steps, self._pending = steps, pending

    def close(self) -> None:
        """Close the engine."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with self._own_errors():
                engine.close()

    def _advance(self, inputs: Mapping[str, Any], ahead: State) -> tuple[Mapping[str, Any], State]:
        """Take one step of the engine; return its outputs, and the answers that it got."""
        engine = self._running
        if ahead is not None and isinstance(engine, Asking):
            engine.give_answers(ahead)
        # A copy, since the engine may change what it is given, which a restore may have to repeat.
        outputs = self._copied(engine.step(copied(inputs, "inputs", self._name)))
        answers = self._recorded.finish()
        self._notes.add({"given": inputs, "answered": outputs})
        return outputs, answers

    def _copied(self, outputs: Any) -> dict[str, Any]:
        """Return a copy of what the engine answers."""
        if not isinstance(outputs, Mapping):
            raise TypeError(f"the engine answers {outputs!r:.80}, not a mapping of names to outputs")
        copy_of: dict[str, Any] = copied(outputs, "outputs", self._name)
        return copy_of

    def _output(self, outputs: Mapping[str, Any], name: str) -> Any:
        if name not in outputs:
            raise EvaluationFailed(
                element=name, time=self.time, reason=f"the engine of {self._name!r} doesn't answer it"
            )
        return outputs[name]

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Raise `EvaluationFailed` for errors of the engine that aren't Perdure's."""
        try:
            yield
        except PerdureError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {message_of(error)}".rstrip(".")
            time = self._specs.time(self._steps * self._specs.multiple)  # the next one
            raise EvaluationFailed(element=self._name, time=time, reason=reason) from error

    @property
    def _running(self) -> Engine:
        if self._engine is None:
            raise Refused("The engine isn't initialised; call `initialize` first.")
        return self._engine


def make_stepped(
    name: str,
    reference: Any,
    engine_config: Mapping[str, Any],
    inputs: Collection[str],
    version: str,
    fingerprint: str,
    config: Mapping[str, Any],
    answers: State,
) -> tuple[SteppedEngine, dict[str, Any]]:
    """Create a stepped engine in a process of its own, from plain data.

    Parameters
    ----------
    name, reference, engine_config, inputs, version
        The model's.
    fingerprint
        The model's fingerprint when it was registered.
    config
        The config of the stepped engine.
    answers
        None: the answers of its start belong to its first step.

    Raises
    ------
    ModelChanged
        If the engine in the files has changed.
    InvalidScenario
        If it can't be imported.
    """
    engine = msgspec.convert(reference, EngineReference)
    try:
        make = engine.load()
        now = fingerprint_of(name, engine, make, engine_config, version)
    except InvalidScenario:  # it could be identified then
        now = ""
    except PerdureError:
        raise
    except Exception as error:  # code of another package
        reason = f"the engine of {name!r} can't be imported: {type(error).__name__}: {error}"
        raise InvalidScenario(reason=reason) from error
    if now != fingerprint:
        raise ModelChanged(
            f"What computes the model {name!r} has changed since it was registered. Put its files back, or "
            "start the server anew; sessions of the former version are then upgraded."
        )
    stepped = SteppedEngine(name, make, engine_config, inputs)
    stepped.initialize(config)
    return stepped, {}
