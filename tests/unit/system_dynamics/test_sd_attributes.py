"""What an author puts on a model can be read in user functions, can't be changed there, and identifies it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from perdure.engines.system_dynamics import Model
from perdure.errors import EvaluationFailed, PastRead
from perdure.scenarios import Catalogue


class Shop(Model):
    markup = 2.0

    def __init__(self, rate: Any = 3.0) -> None:
        super().__init__(0.0, 2.0, 1.0, "shop")
        self.rate = rate
        self.other = 1.0
        self.stock("money").equation = 1.0

    def price(self, cost: float) -> float:
        return cost * self.markup

    @staticmethod
    def rounded(value: float) -> float:
        return float(round(value))


def value(fn: Callable[..., Any], rate: Any = 3.0, model: Model | None = None) -> float:
    shop = Shop(rate) if model is None else model
    shop.converter("x").equation = shop.function("fn", fn)()
    return shop.converter("x")(1.0)


@pytest.mark.parametrize(
    ("fn", "rate", "expected"),
    [
        (lambda model, t: model.rate * t, 3.0, 3.0),
        (lambda model, t: model.rate["a"][1], {"a": [1.0, 7.0]}, 7.0),
        (lambda model, t: model.rate[0] + len(model.rate), [4.0, 5.0], 6.0),
        (lambda model, t: float(model.rate.sum()), np.array([1.0, 2.5]), 3.5),
        (lambda model, t: model.price(model.rate), 3.0, 6.0),
        (lambda model, t: model.rounded(model.rate), 3.4, 3.0),
        (lambda model, t: getattr(model, "rate", 0.0), 3.0, 3.0),
        (lambda model, t: getattr(model, "nothing", 9.0), 3.0, 9.0),
    ],
)
def test_attributes_and_methods_of_a_model_are_read_by_its_functions(
    fn: Callable[..., Any], rate: Any, expected: float
) -> None:
    assert value(fn, rate) == expected


def test_a_plain_model_may_have_attributes_too() -> None:
    model: Any = Model(0.0, 2.0, 1.0, "plain")
    model.factor = 4.0
    assert value(lambda model, t: model.factor * t, model=model) == 4.0


@pytest.mark.parametrize(
    ("fn", "rate"),
    [
        (lambda model, t: model.rate.append(1.0), [1.0]),
        (lambda model, t: model.rate.update(a=1.0), {}),
        (lambda model, t: setattr(model, "rate", 1.0), 1.0),
        (lambda model, t: model.rate.fill(1.0), np.zeros(2)),
    ],
)
def test_a_function_can_not_change_them(fn: Callable[..., Any], rate: Any) -> None:
    with pytest.raises(EvaluationFailed):
        value(fn, rate)


def test_an_element_among_them_keeps_its_past_to_itself() -> None:
    shop: Any = Shop()
    shop.till = shop.stock("money")
    with pytest.raises(PastRead):
        value(lambda model, t: model.till(t - 1.0), model=shop)


def identity(
    change: Callable[[Any], object] = lambda shop: None, fn: Callable[..., Any] | None = None
) -> str:
    shop = Shop()
    shop.converter("x").equation = shop.function("fn", fn or reads_rate)()
    change(shop)
    return shop.fingerprint()


def reads_rate(model: Any, t: float) -> float:
    result: float = model.rate * t
    return result


def reads_price(model: Any, t: float) -> float:
    result: float = model.price(t)
    return result


def test_what_a_function_reads_of_them_identifies_the_model() -> None:
    assert identity() == identity()
    assert identity() != identity(lambda shop: setattr(shop, "rate", 4.0))
    assert identity() == identity(lambda shop: setattr(shop, "other", 2.0))
    assert identity() == identity(lambda shop: setattr(shop, "open_file", object()))
    # A method counts, and so does what it reads.
    through = [identity(lambda shop, m=m: setattr(shop, "markup", m), reads_price) for m in (2.0, 5.0)]
    assert through[0] != through[1]


def test_a_registered_model_keeps_them_as_they_were() -> None:
    shop: Any = Shop([3.0])
    shop.converter("x").equation = shop.function("fn", lambda model, t: model.rate[0])()
    catalogue = Catalogue()
    catalogue.register_model(shop)
    shop.rate[0] = 50.0
    shop.rate = [60.0]
    results: Any = catalogue.run_scenarios(equations="x", return_format="dict")
    assert results["smShop"]["base"]["equations"]["x"] == {0.0: 3.0, 1.0: 3.0, 2.0: 3.0}


def test_a_function_that_exits_is_an_error_of_the_model_and_not_the_end_of_the_server() -> None:
    def leaving(model: Any, t: float, level: float) -> float:
        raise SystemExit(3)

    model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="leaving")
    model.converter("left").equation = model.function("leaving", leaving)(1.0)
    catalogue = Catalogue()
    catalogue.register_model(model)
    with pytest.raises(EvaluationFailed, match=r"the function 'leaving' raised SystemExit: 3"):
        catalogue.run_scenarios(return_format="dict")
