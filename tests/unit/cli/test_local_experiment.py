"""What is said of an experiment without a server, and what it is called."""

from pathlib import Path

import pytest

from perdure.artifacts.names import check_experiment
from perdure.cli.experiment_folder import name_of
from perdure.cli.local_experiment import how_far


def test_a_resume_that_fails_says_how_far_the_run_had_come() -> None:
    at_its_start = {"simulation_time": 0.5, "real_time": 0.25}
    assert how_far(at_its_start, 12.0) == "12 s simulated"
    assert how_far(None, 12.0) == "12 s simulated"
    assert how_far({"simulation_time": 12.5, "real_time": 3.0}, 12.0) == "12.5 s simulated in 3.0 s"
    assert how_far(None, None) == "0 s simulated in 0.0 s"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("pendulum", "pendulum"),
        ("my room", "my-room"),
        ("Übung 1", "Ubung-1"),
        ("实验", "experiment"),
        ("-_x.y", "x.y"),
        ("x" * 100, "x" * 80),
        ("/", "experiment"),
    ],
)
def test_an_experiment_is_called_as_its_folder_as_far_as_it_may(folder: str, name: str) -> None:
    assert name_of(Path(folder)) == check_experiment(name)
