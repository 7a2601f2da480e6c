"""BPTK-Py's own transcripts replay in every configuration.

`transcripts.json` holds what BPTK-Py 3.2.0 answered (and 2.1.1 where it says so). Ids, times and metrics are
other ones here, a client's mistake is a 4xx with the same text, and agents aren't there. Two answers to
`/run` show a fault: the server remembered what an earlier caller had set; their requests bring it along.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tests.support.bptk_servers import CONFIGURATIONS, MANAGER, client_of

from perdure.dialects.bptk.client import BptkClient, BptkResponse

CASES = json.loads((Path(__file__).parent / "transcripts.json").read_text(encoding="utf-8"))
EQUATIONS = ["customers", "word_of_mouth_success"]


class Replay:
    """Sends the requests of transcripts, to instances of its own, and compares the answers."""

    def __init__(self, client: BptkClient) -> None:
        self.client = client
        self.instance = ""

    def start(self, scenarios: list[str], equations: list[str]) -> None:
        """Go on with a new instance and a session."""
        self.instance = self.client.post("/start-instance").get_json()["instance_uuid"]
        body = {"scenario_managers": [MANAGER], "scenarios": scenarios, "equations": equations}
        begun = self.client.post(f"/{self.instance}/begin-session", json=body)
        assert begun.get_json() == {"msg": "session started"}

    def send(self, name: str, **changed: Any) -> BptkResponse:
        """Send a transcript's request; what `changed` holds is merged into its body."""
        case = CASES[name]
        first, _, last = case["path"][1:].partition("/")
        path = f"/{'deadbeef' if first == 'deadbeef' else self.instance}/{last}" if last else case["path"]
        body = {} if case.get("request") is None else {"json": {**deepcopy(case["request"]), **changed}}
        return getattr(self.client, case["method"].lower())(path, **body)

    def same(self, name: str, **changed: Any) -> None:
        """Expect exactly the answer of the transcript."""
        answer = self.send(name, **changed)
        assert answer.status_code == 200, answer.text
        expected = CASES[name]["response"]
        if isinstance(expected, dict) and "shortened" in expected:
            beginning = expected["shortened"].removesuffix(" \N{HORIZONTAL ELLIPSIS}")
            assert json.dumps(answer.get_json()).startswith(beginning), name
        else:
            assert answer.get_json() == expected, name

    def mistake(self, name: str, text: str | None = None) -> None:
        """Expect the transcript's error, with a status that blames the client."""
        answer = self.send(name)
        assert 400 <= answer.status_code < 500, name
        assert answer.get_json() == ({"error": text} if text else CASES[name]["response"]), name


@pytest.fixture(params=CONFIGURATIONS)
def configuration(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def replay(configuration: str, tmp_path: Path) -> Iterator[Replay]:
    with client_of(configuration, tmp_path) as client:
        yield Replay(client)


def test_instances(replay: Replay) -> None:
    for name, key in (
        ("start_instance_default", "instance_uuid"),
        ("start_instance_timeout", "instance_uuid"),
        ("start_instances_3", "instance_uuids"),
    ):
        answer, expected = replay.send(name), CASES[name]["response"]
        assert answer.status_code == 200
        body = answer.get_json()
        assert body.keys() == expected.keys()
        assert body["timeout"] == expected["timeout"]
        assert len(body[key]) == len(expected[key])
        assert all(set(one) <= set("0123456789abcdef") for one in body[key])
    replay.start(["interactive_scenario"], EQUATIONS)
    replay.same("keep_alive")
    replay.same("stop_instance_ok")
    replay.same("stop_unknown_instance")
    replay.mistake("begin_session_unknown_instance")


def test_one_session(replay: Replay, configuration: str) -> None:
    client = replay.client
    replay.start(["base"], ["customers"])
    replay.same("begin_session_ok")
    replay.same("run_step_1")
    replay.same("run_step_2_seed_transcript")
    replay.same("run_step_3_flat")
    replay.same("run_step_4_no_body")
    for _ in range(2):
        client.post(f"/{replay.instance}/run-step")
    replay.same("run_step_points")
    client.post(f"/{replay.instance}/run-step")
    replay.same("run_steps_ok")
    replay.same("run_steps_flat")
    replay.same("session_results")
    replay.same("flat_session_results")
    told = client.get("/full-metrics").get_json()
    if "externalized" in configuration:  # nothing is in memory between requests
        assert told["instanceCount"] == 0
    else:
        assert told["instanceCount"] == 1
        assert told[replay.instance]["step"] == CASES["full_metrics"]["response"]["ID"]["step"]
        assert told[replay.instance].keys() == {"startTime", "step"}
    assert told["threadCount"] >= 1
    replay.mistake("run_steps_no_number", NUMBER_MISSING)
    replay.mistake("run_step_missing_settings")
    replay.same("stream_steps_ok")
    assert client.post(f"/{replay.instance}/run-step").get_json() == {"msg": "Stoptime reached"}
    replay.same("end_session")
    replay.same("session_results_no_session")


def test_two_scenarios(replay: Replay) -> None:
    replay.start(["base", "high_word_of_mouth"], ["customers"])
    replay.same("run_step_two_scenarios")
    replay.same("run_step_two_scenarios_flat")
    replay.same("session_results_two_scenarios")


def test_past_the_end(replay: Replay) -> None:
    replay.start(["interactive_scenario"], EQUATIONS)
    replay.same("stream_steps_flat")
    replay.same("run_step_past_stoptime")
    replay.same("run_steps_past_stoptime")


def test_whole_runs(replay: Replay) -> None:
    replay.same("run_settings_constants")
    replay.same("run_ok")  # what the call before set, held for it alone
    replay.same("run_multi")
    remembered = {
        "constants": {"word_of_mouth_success": 0.7},
        "runspecs": {"starttime": 1.0, "stoptime": 3.0, "dt": 0.5},
    }
    for name in ("run_settings_points", "run_settings_runspecs"):
        given = CASES[name]["request"]["settings"][MANAGER]["base"]
        replay.same(name, settings={MANAGER: {"base": {**given, **remembered}}})
        assert replay.send(name).status_code == 200
    replay.same("run_ok")
    for name in ("run_abm_states", "agents_ok"):  # the model's agents aren't there, nor is its manager
        assert 400 <= replay.send(name).status_code < 500


def test_a_model_in_the_request(replay: Replay) -> None:
    replay.same("execute_ok")
    replay.same("execute_scenarios")


def test_listings(replay: Replay) -> None:
    listed = replay.send("scenarios_get").get_json()
    assert listed[MANAGER] == CASES["scenarios_get"]["response"][MANAGER]
    for name in ("equations_snake", "equations_camel"):
        answer, expected = replay.send(name).get_json(), CASES[name]["response"]
        assert answer.keys() == expected.keys()
        for kind, names in expected.items():  # BPTK-Py's order is that of a set
            assert sorted(answer[kind]) == sorted(names)


def test_metrics(replay: Replay, configuration: str) -> None:
    replay.start(["base"], ["customers"])
    answer = replay.send("metrics")
    instances = 0 if "externalized" in configuration else 1
    lines = answer.text.splitlines()
    assert f"bptk_instance_count {instances}.0" in lines
    for line in CASES["metrics"]["response"].splitlines():
        if line.startswith("# TYPE"):
            assert line in lines


def test_mistakes(replay: Replay) -> None:
    replay.start(["base"], ["customers"])
    replay.mistake("begin_session_no_equations")
    replay.mistake("begin_session_no_managers")
    replay.mistake("begin_session_no_scenarios")


def test_tokens(configuration: str, tmp_path: Path) -> None:
    with client_of(configuration, tmp_path, token="secret") as client:
        missing, wrong = client.get("/scenarios"), client.get("/scenarios", headers=bearer("wrong"))
        assert client.get("/scenarios", headers=bearer("secret")).status_code == 200
    for answer, name in ((missing, "auth_missing"), (wrong, "auth_wrong")):
        assert answer.status_code == CASES[name]["status"]
        assert answer.get_json() == CASES[name]["response"]


def test_state(replay: Replay, configuration: str) -> None:
    replay.start(["interactive_scenario"], EQUATIONS)
    replay.same("run_step_1")
    replay.same("run_step_2_seed_transcript")
    saved = replay.client.get("/save-state")
    loaded = replay.client.post("/load-state")
    if configuration == "memory":
        assert saved.status_code == loaded.status_code == 409
        return
    assert loaded.status_code == 200
    assert loaded.text == CASES["load_state"]["response"]
    if "externalized" in configuration:  # nothing is in memory, so nothing is to be saved
        assert saved.get_json() == []
        return
    (entry,) = saved.get_json()
    (expected,) = CASES["save_state"]["response"]
    assert entry["instance_id"] == replay.instance
    assert entry["timeout"] == expected["timeout"]
    assert entry["step"] == expected["step"]
    for key in ("scenarios", "scenario_managers", "equations", "step", "starttime", "stoptime", "dt"):
        assert entry["state"][key] == expected["state"][key]
    for key in ("settings_log", "results_log"):
        assert entry["state"][key] == expected["state"][key]


NUMBER_MISSING = 'expecting a number of steps to be provided in the body as a json {"numberSteps": int}'


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
