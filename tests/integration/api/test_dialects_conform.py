"""Perdure's own dialects, and one of another package, keep what the conformance suite of dialects asks."""

import importlib.util
from pathlib import Path
from typing import Any

from tests.support.small import catalogue

from perdure.dialects.bptk.router import BPTK
from perdure.dialects.nrp.router import NRP
from perdure.dialects.stableconfigs.router import STABLECONFIGS
from perdure.testing.dialects import DialectConformance

PACKAGE = Path(__file__).parents[2] / "packages" / "perdure-rounds" / "perdure_rounds.py"


def rounds() -> Any:
    """Return the dialect of the package, which isn't installed here."""
    spec = importlib.util.spec_from_file_location("perdure_rounds", PACKAGE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ROUNDS


class TestBptk(DialectConformance):
    dialect = BPTK
    catalogue = catalogue()


class TestNrp(DialectConformance):
    dialect = NRP


class TestStableConfigs(DialectConformance):
    dialect = STABLECONFIGS


class TestRounds(DialectConformance):
    dialect = rounds()
    catalogue = catalogue()
