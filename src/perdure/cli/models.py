"""The models of a command: named ones, those of the working folder, or the examples."""

from collections.abc import Iterable
from pathlib import Path

from perdure.dialects.bptk.in_process import Bptk
from perdure.errors import InvalidScenario, with_article
from perdure.scenarios import Catalogue
from perdure.scenarios.files import GivenModel, load_attribute, scenario_files, users_code
from perdure.scenarios.model_files import is_model_file, load_model_file

__all__ = ["load_catalogue"]

SCENARIOS = Path("scenarios")


def load_catalogue(target: str | None) -> Catalogue:
    """Load the catalogue of a command.

    Parameters
    ----------
    target
        ``module:name`` or ``file.py:name`` of a catalogue, a `bptk` object, a model, several models, or a
        function that returns one of these; or the path of a model file, as ``folder/model.stmx``, whose
        elements keep the names of the file. By default the ``*.json`` files of ``./scenarios``; without
        those, the example models.
    """
    if target is not None and is_model_file(target):
        catalogue = Catalogue()
        catalogue.register_model(load_model_file(Path(target), naming="file"))
        return catalogue
    if target is None:
        if scenario_files(SCENARIOS):
            catalogue = Catalogue()
            catalogue.load(SCENARIOS)
            return catalogue
        from perdure.examples import catalogue as examples

        return examples()
    module, separator, name = target.partition(":")
    if not separator or not module or not name:
        raise InvalidScenario(
            reason=f"{target!r} isn't of the form module:name or file.py:name, as in my_models:catalogue"
        )
    found = load_attribute(module, name)
    if callable(found) and not isinstance(found, Catalogue | GivenModel):
        with users_code(target):
            found = found()
    if isinstance(found, Bptk):
        return found.catalogue
    if isinstance(found, Catalogue):
        return found
    models = [found] if isinstance(found, GivenModel) else found
    if isinstance(models, Iterable):
        with users_code(target):
            models = list(models)
        if models and all(isinstance(model, GivenModel) for model in models):
            catalogue = Catalogue()
            for model in models:
                catalogue.register_model(model)
            return catalogue
    raise InvalidScenario(
        reason=f"{target!r} gives {with_article(type(found).__name__)}, not a Catalogue or a Model"
    )
