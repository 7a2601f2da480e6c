"""Vensim's models written as XMILE have the same results, unless XMILE can't say them."""

import pytest
from tests.support.vensim_features import FILES, OWN

from perdure.engines.system_dynamics import Model, simulate
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.errors import EvaluationFailed, UnservableModel

REFUSED = {
    "allocation": "allocate_available",
    "delays": "XMILE has no equation for DELAY N",
    "spreadsheets": "'next'",
    "test_conditional_subscripts": "element_at",
    "test_delay_numeric_error": "XMILE has no equation for DELAY N",
    "vectors": "sort_order",
}


@pytest.mark.parametrize("path", [*FILES, *OWN], ids=lambda path: path.stem)
def test_a_converted_model_has_the_same_results(path, tmp_path):
    model = Model.from_vensim(path)
    if path.stem in REFUSED:
        with pytest.raises(UnservableModel, match=REFUSED[path.stem]):
            model.to_xmile()
        return
    copy = tmp_path / f"{path.stem}.xmile"
    copy.write_text(model.to_xmile(), "utf-8")
    converted = Model.from_xmile(copy)
    names = {canonical(name): name for name in converted.elements}
    _, before = simulate(model, {"outputs": list(model.elements)})
    outputs = [names[canonical(name)] for name in model.elements]
    if path.stem == "test_arithmetics":  # XMILE's divisions don't go on at zero
        with pytest.raises(EvaluationFailed, match="division by zero"):
            simulate(converted, {"outputs": outputs})
        return
    _, after = simulate(converted, {"outputs": outputs})
    for name, other in zip(model.elements, outputs, strict=True):
        assert list(before[name]) == list(after[other]), name
