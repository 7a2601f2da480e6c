"""Documents and their compressed form hold a session bit for bit, and damage is told."""

import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.dialects.bptk.external_state.compression import compress, decompress
from perdure.dialects.bptk.external_state.document import (
    Column,
    Document,
    RunPart,
    entries_of,
    parse,
    to_json_number,
)
from perdure.dialects.bptk.external_state.step_log import LATEST, StepLog
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.errors import CorruptBlob
from perdure.lifecycle import RunStatus
from perdure.run import Key, Step
from perdure.state.codec import decode, encode

ANY_BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
NUMBERS = st.one_of(st.floats(), ANY_BITS)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def spec_of(*names: str) -> SessionSpec:
    parts = [
        ScenarioSpec(
            manager="m/1",
            scenario=name,
            model="x",
            fingerprint="f",
            outputs=["a", "times"],
            config={"starttime": 0.0, "stoptime": 9.0, "dt": 1.0, "outputs": ["a", "times"]},
        )
        for name in names
    ]
    return SessionSpec(scenarios=parts, seed=2**53 + 1, every=100, milestone=10)


def document_of(log: StepLog) -> Document:
    return Document(
        scenario_managers=["m/1"],
        scenarios=[part.scenario for part in log.spec.scenarios],
        equations=["a", "times"],
        starttime=0.0,
        stoptime=9.0,
        dt=1.0,
        step=float(log.position),
        settings_log=log.settings,
        results_log=log.results,
        seed=log.spec.seed,
        owner="ö",
        accessed=1.5,
        keys=list(log.keys),
        run=RunPart(
            id="r",
            state=RunStatus.STARTED,
            outcome=None,
            reason="",
            created=1.25,
            position=log.position,
            key=Key("made", b"\x00\xff"),
            scenarios=log.spec.scenarios,
            every=100,
            milestone=10,
            base=0,
        ),
        engine_states=None,
    )


@given(
    steps=st.lists(st.tuples(NUMBERS, NUMBERS, st.none() | NUMBERS), max_size=6),
    keyed=st.sets(st.integers(1, 6)),
)
def test_a_step_log_comes_back_bit_for_bit_through_json_text(
    steps: list[tuple[float, float, float | None]], keyed: set[int]
) -> None:
    log = StepLog("r", spec_of("1", "a/b"))
    given_steps = []
    ended = False
    for number, (one, other, second) in enumerate(steps, 1):
        ended = ended or second is None
        row = None if ended or second is None else [float(number), second, one]
        inputs = encode([[1, {"constants": {"k": 10**25, "j": 0.1}}]]) if number % 2 else None
        outputs = encode([[float(number), one, other], row])
        given_steps.append(Step(position=number, inputs=inputs, outputs=outputs))
    keys = [(at, Key("key", b"h", at)) for at in sorted(keyed) if at <= len(steps)]
    for at, step in enumerate(given_steps, 1):  # as a mirror extends it, save by save
        log.extend([step], [pair for pair in keys if pair[0] == at])

    document = document_of(log)
    for state in (msgspec.to_builtins(document), compress(document)):
        read = parse(decompress(json.loads(json.dumps(state, allow_nan=False))))
        assert read == document
        assert read.spec == log.spec
        entries = entries_of(read)
        assert [entry.key for entry in entries] == [dict(keys).get(step.position) for step in given_steps]
        for entry, step in zip(entries, given_steps, strict=True):
            assert entry.outputs == step.outputs
            assert (entry.inputs is None) == (step.inputs is None)
            if entry.inputs is not None and step.inputs is not None:
                assert repr(decode(entry.inputs)) == repr(decode(step.inputs))


@given(NUMBERS)
def test_every_double_has_a_form_in_json(value: float) -> None:
    document = document_of(StepLog("r", spec_of("1")))
    results = {"m/1": {"1": Column([0.0], {"a": [to_json_number(value)], "times": [0.5]})}}
    run = msgspec.structs.replace(document.run, position=1)
    document = msgspec.structs.replace(document, results_log=results, run=run)
    text = json.dumps(msgspec.to_builtins(document), allow_nan=False)
    rows: list[Any] = decode(entries_of(parse(json.loads(text)))[0].outputs)
    assert bits(rows[0][1]) == bits(value)


def test_what_is_not_finite_reads_as_what_it_is() -> None:
    assert [to_json_number(x) for x in (math.nan, math.inf, -math.inf)] == ["NaN", "Infinity", "-Infinity"]


def test_requests_are_kept_by_their_keys_and_the_oldest_go() -> None:
    log = StepLog("r", spec_of("1"))
    outputs = encode([[0.0, 0.0, 0.0]])
    position = 0
    for request in range(LATEST + 5):
        for ordinal in range(3):
            position += 1
            key = Key(f"k{request}", b"h", ordinal)
            log.extend([Step(position=position, inputs=None, outputs=outputs)], [(position, key)])
    assert len(log.keys) == LATEST
    assert [(keys.count, keys.ordinal) for keys in log.keys] == [(3, 0)] * LATEST
    assert log.keys[-1].position == position - 2


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("run"),
        lambda d: d.update(seed="1"),
        lambda d: d["run"].update(position=2),
        lambda d: d["run"].update(state="lost"),
        lambda d: d["results_log"].clear(),
        lambda d: d["results_log"]["m/1"]["1"]["equations"]["a"].append(1.0),
        lambda d: d["results_log"]["m/1"]["1"]["equations"].update(a=["x"]),
        lambda d: d["results_log"]["m/1"]["1"]["equations"].update(a=["NaN:12"]),
        lambda d: d["settings_log"].update({"1": {"nobody": {"1": {}}}}),
        lambda d: d["run"]["key"].update(body_hash="no base64!"),
    ],
)
def test_a_document_that_contradicts_itself_is_corrupt(change: Any) -> None:
    log = StepLog("r", spec_of("1"))
    log.extend([Step(position=1, inputs=None, outputs=encode([[0.0, 1.0, 2.0]]))], [])
    state = msgspec.to_builtins(document_of(log))
    assert len(entries_of(parse(state))) == 1
    change(state)
    with pytest.raises(CorruptBlob):
        entries_of(parse(state))


def test_any_change_of_the_compressed_form_is_found_or_does_no_harm() -> None:
    state = compress(document_of(StepLog("r", spec_of("1"))))
    text, found = state["zstd"], 0
    for at in range(len(text)):
        damaged = {**state, "zstd": text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]}
        try:
            assert decompress(damaged) == decompress(state)
        except CorruptBlob:
            found += 1
    assert found > 0.95 * len(text)
    for broken in ({**state, "zstd": 5}, {**state, "zstd": state["zstd"][:-4]}, {**state, "zstd": ""}):
        with pytest.raises(CorruptBlob):
            decompress(broken)


def test_what_is_not_compressed_passes_unchanged() -> None:
    for state in (None, {"zstd": 1}, {"format": "perdure-1"}, [1], "x"):
        assert decompress(state) is state
