"""Messages of errors are sentences."""

import importlib
import pickle
import pkgutil

import pytest

from perdure import errors
from perdure.engines.system_dynamics import Model, validate_inputs
from perdure.errors import InvalidOverride, NotAStore, PerdureError, StoreUnavailable


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("no such constant", "'x' can't be set to 1: no such constant."),
        ("no such constant.", "'x' can't be set to 1: no such constant."),
        ("no such constant. Did you mean 'y'?", "'x' can't be set to 1: no such constant. Did you mean 'y'?"),
        ("stop!", "'x' can't be set to 1: stop!"),
        ("it is cut ...", "'x' can't be set to 1: it is cut ..."),
        ("it says 'no.'", "'x' can't be set to 1: it says 'no.'."),
        ("{braces}.", "'x' can't be set to 1: {braces}."),
    ],
)
def test_a_message_ends_with_one_full_stop(reason: str, shown: str) -> None:
    error = InvalidOverride(name="x", value=1, reason=reason)
    assert str(error) == shown
    assert str(pickle.loads(pickle.dumps(error))) == shown


@pytest.mark.parametrize("kind", [StoreUnavailable, NotAStore])
def test_a_sentence_within_a_message_ends_with_one_full_stop(kind: type[PerdureError]) -> None:
    error = kind(reason="The disk is full.", path="/data")
    assert "The disk is full. " in str(error)
    assert str(error) == str(kind(reason="The disk is full", path="/data"))


def test_values_are_shown_as_they_are() -> None:
    assert str(InvalidOverride(name="a.. b", value="?.", reason="r")) == "'a.. b' can't be set to ?.: r."


@pytest.mark.parametrize(
    "inputs", [{"constants": {"zzz": 1.0}}, {"constants": {"rat": 1.0}}, {"zzz": {}}, {"points": {"zzz": []}}]
)
def test_a_refused_input_says_so_in_whole_sentences(inputs: dict[str, object]) -> None:
    model = Model()
    model.constant("rate").equation = 1.0
    with pytest.raises(InvalidOverride) as refusal:
        validate_inputs(model, inputs)
    message = str(refusal.value)
    assert message.endswith((".", "?")) and not message.endswith(("..", "?."))


def test_every_error_is_imported_from_one_package_whichever_module_defines_it() -> None:
    """Models that name it keep their fingerprint, and pickled ones can be read."""
    defined = {
        value
        for module in pkgutil.iter_modules(errors.__path__, "perdure.errors.")
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, type) and issubclass(value, PerdureError)
    }
    assert defined == {value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)}
    assert {kind.__module__ for kind in defined} == {"perdure.errors"}
