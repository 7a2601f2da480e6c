"""Steps over HTTP: answered once, in order, with every bit of every number, whoever goes away."""

import csv
import http.client
import io
import json
import math
import struct
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.served import JSON, Served, catalogue


def error(response: httpx.Response) -> str:
    code: str = response.json()["error"]["code"]
    return code


def water(response: httpx.Response, scenario: str = "base") -> list[float]:
    steps = response.raise_for_status().json()["steps"]
    return [step["results"]["bath"][scenario]["values"]["water"] for step in steps]


def tap(value: float) -> dict[str, object]:
    return {"bath": {"base": {"constants": {"tap": value}}}}


def test_an_empty_body_takes_one_step_and_the_first_answers_the_start(client: httpx.Client, run: str) -> None:
    answer = client.post(f"/runs/{run}/steps").json()
    assert answer == {
        "run": run,
        "finished": False,
        "replayed": False,
        "steps": [
            {
                "step": 1,
                "results": {
                    "bath": {
                        "base": {"time": 0.0, "values": {"water": 5.0}},
                        "full": {"time": 0.0, "values": {"water": 5.0}},
                    }
                },
            }
        ],
    }


def test_settings_stay_in_force_and_are_in_the_log(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps")
    client.post(f"/runs/{run}/steps", json={"settings": tap(0.0), "steps": 2})
    log = client.get(f"/runs/{run}/steps").json()
    assert log["next"] is None
    assert [step["settings"] for step in log["steps"]] == [{}, tap(0.0), {}]
    assert [step["step"] for step in log["steps"]] == [1, 2, 3]
    assert log["steps"][2]["results"]["bath"]["base"]["time"] == 2.0


def test_what_was_set_is_read_without_the_steps_that_were_given_nothing(
    client: httpx.Client, run: str
) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 2})
    client.post(f"/runs/{run}/steps", json={"settings": tap(0.0), "steps": 300})
    client.post(f"/runs/{run}/steps", json={"settings": tap(4.0)})
    client.post(f"/runs/{run}/steps")
    changes = [{"step": 3, "settings": tap(0.0)}, {"step": 303, "settings": tap(4.0)}]

    def settings(**query: int) -> object:
        return client.get(f"/runs/{run}/settings", params=query).json()

    assert settings() == {"changes": changes, "next": None}
    assert settings(limit=1) == {"changes": changes[:1], "next": 3}
    assert settings(after=3) == {"changes": changes[1:], "next": None}
    assert settings(after=303) == settings(after=9999) == {"changes": [], "next": None}


def test_points_are_set_too(client: httpx.Client, run: str) -> None:
    settings = {"bath": {"base": {"points": {"curve": [[0.0, 1.0], [2, 3.5]]}}}}
    assert client.post(f"/runs/{run}/steps", json={"settings": settings}).status_code == 200
    logged = client.get(f"/runs/{run}/steps").json()["steps"][0]["settings"]
    assert logged == settings


def test_a_repeated_key_gets_the_same_answer_and_takes_no_step(client: httpx.Client, run: str) -> None:
    headers = {**JSON, "Idempotency-Key": "once"}
    body = {"settings": tap(3.0), "steps": 3}
    first = client.post(f"/runs/{run}/steps", content=json.dumps(body), headers=headers)
    shuffled = '{ "steps":3.0,\n "settings": {"bath":{"base":{"points": {}, "constants":{"tap":3}}}} }'
    again = client.post(f"/runs/{run}/steps", content=shuffled, headers=headers)
    assert first.json()["replayed"] is False
    assert again.json() == {**first.json(), "replayed": True}
    assert client.get(f"/runs/{run}").json()["step"] == 3
    other = client.post(f"/runs/{run}/steps", json={"settings": tap(4.0), "steps": 3}, headers=headers)
    assert (other.status_code, error(other)) == (422, "key_reused")
    assert client.get(f"/runs/{run}").json()["step"] == 3


def test_the_expected_step_must_be_next(client: httpx.Client, run: str) -> None:
    assert client.post(f"/runs/{run}/steps", json={"expected_step": 1}).status_code == 200
    refused = client.post(f"/runs/{run}/steps", json={"expected_step": 1})
    assert (refused.status_code, error(refused)) == (409, "position_conflict")
    assert refused.json()["error"]["details"]["position"] == 1
    assert client.get(f"/runs/{run}").json()["step"] == 1


def test_forty_concurrent_steps_are_forty_distinct_steps_without_a_gap(server: Served, run: str) -> None:
    def step(number: int) -> dict[str, object]:
        with server.client() as one:
            headers = {"Idempotency-Key": f"step-{number}"}
            answer = one.post(f"/runs/{run}/steps", headers=headers).raise_for_status().json()
            (taken,) = answer["steps"]
            return dict(taken)

    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(step, range(40)))
    assert sorted(one["step"] for one in taken) == list(range(1, 41))
    with server.client() as reader:
        log = reader.get(f"/runs/{run}/steps").json()["steps"]
    assert [{"step": one["step"], "results": one["results"]} for one in log] == sorted(
        taken, key=lambda one: one["step"]
    )


def test_numbers_read_back_have_the_same_bits(client: httpx.Client) -> None:
    body = {"kind": "session", "scenarios": {"bath": ["base"]}, "outputs": ["water"]}
    run_id = client.post("/runs", json=body).json()["id"]
    answered = water(client.post(f"/runs/{run_id}/steps", json={"steps": 200}))
    scenario = catalogue().scenario("bath", "base")
    _, columns = scenario.model.simulate(scenario.config(["water"], seed=0))
    assert bits(answered) == bits(columns["water"][:200])
    page = client.get(f"/runs/{run_id}/results").json()["results"]["bath"]["base"]["values"]["water"]
    assert bits(page) == bits(answered)
    lines = list(csv.DictReader(io.StringIO(client.get(f"/runs/{run_id}/results?format=csv").text)))
    assert bits([float(line["water"]) for line in lines]) == bits(answered)


def bits(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def test_what_is_not_finite_is_null_in_json_and_itself_in_csv(client: httpx.Client) -> None:
    body = {"kind": "session", "scenarios": {"extremes": ["base"]}, "outputs": ["growing"]}
    run_id = client.post("/runs", json=body).json()["id"]
    answer = client.post(f"/runs/{run_id}/steps", json={"steps": 4}).json()
    values = [step["results"]["extremes"]["base"]["values"]["growing"] for step in answer["steps"]]
    assert values == [1e200, 1e200 + 1e200 * 1e60, None, None]
    text = client.get(f"/runs/{run_id}/results", headers={"Accept": "text/csv"}).text
    cells = [float(line["growing"]) for line in csv.DictReader(io.StringIO(text))]
    assert cells[2:] == [math.inf, math.inf]


def test_finished_scenarios_are_left_out_and_the_last_one_ends_the_session(client: httpx.Client) -> None:
    body = {"kind": "session", "scenarios": {"Ж/ü %2F": ["a/b"], "extremes": ["base"]}}
    run_id = client.post("/runs", json=body).json()["id"]
    answer = client.post(f"/runs/{run_id}/steps", json={"steps": 100}).json()
    assert answer["finished"] is True
    assert [step["step"] for step in answer["steps"]] == [1, 2, 3, 4, 5, 6, 7]
    assert answer["steps"][5]["results"].keys() == {"Ж/ü %2F", "extremes"}
    assert answer["steps"][6]["results"].keys() == {"extremes"}
    refused = client.post(f"/runs/{run_id}/steps")
    assert (refused.status_code, error(refused)) == (409, "run_finished")
    results = client.get(f"/runs/{run_id}/results").json()["results"]
    assert results["Ж/ü %2F"]["a/b"]["step"] == [1, 2, 3, 4, 5, 6]
    assert results["extremes"]["base"]["step"] == [1, 2, 3, 4, 5, 6, 7]


def test_log_and_results_are_read_by_pages(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 5})
    pages, after = [], 0
    while after is not None:
        page = client.get(f"/runs/{run}/steps", params={"after": after, "limit": 2}).json()
        pages.append([step["step"] for step in page["steps"]])
        after = page["next"]
    assert pages == [[1, 2], [3, 4], [5]]
    part = client.get(f"/runs/{run}/results", params={"after": 3, "limit": 1}).json()
    assert part["results"]["bath"]["base"]["step"] == [4]
    assert part["next"] == 4
    beyond = client.get(f"/runs/{run}/results", params={"after": 99}).json()
    assert (beyond["results"]["bath"]["base"]["step"], beyond["next"]) == ([], None)


def test_csv_has_a_line_for_each_scenario_of_each_step(client: httpx.Client) -> None:
    scenarios = {"bath": ["base"], "extremes": ["base"]}
    body = {"kind": "session", "scenarios": scenarios, "outputs": ["water", "growing"]}
    run_id = client.post("/runs", json=body).json()["id"]
    client.post(f"/runs/{run_id}/steps", json={"steps": 2})
    answer = client.get(f"/runs/{run_id}/results?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text.split("\r\n") == [
        "step,manager,scenario,time,water,growing",
        "1,bath,base,0.0,5.0,",
        "1,extremes,base,0.0,,1e+200",
        "2,bath,base,1.0,6.5,",
        "2,extremes,base,1.0,,9.999999999999999e+259",
        "",
    ]


def test_csv_goes_through_all_pages_or_as_far_as_it_is_told(client: httpx.Client) -> None:
    body = {"kind": "session", "scenarios": {"bath": ["base"]}, "outputs": ["water"]}
    run_id = client.post("/runs", json=body).json()["id"]
    client.post(f"/runs/{run_id}/steps", json={"steps": 1001})

    def steps(query: str) -> list[int]:
        text = client.get(f"/runs/{run_id}/results?format=csv{query}").text
        return [int(line.split(",")[0]) for line in text.splitlines()[1:]]

    assert steps("") == list(range(1, 1002))
    assert steps("&after=998") == [999, 1000, 1001]
    assert steps("&limit=3") == [1, 2, 3]
    assert steps("&limit=1001") == list(range(1, 1002))


def test_a_client_that_goes_away_while_it_steps_loses_nothing(server: Served, run: str) -> None:
    address = urlsplit(server.url).netloc
    body = json.dumps({"steps": 300}).encode()
    headers = {**JSON, "Idempotency-Key": "gone"}
    for _ in range(5):
        connection = http.client.HTTPConnection(address)
        connection.request("POST", f"/runs/{run}/steps", body, headers)
        connection.close()  # before the answer
    with server.client() as again:
        answer = again.post(f"/runs/{run}/steps", content=body, headers=headers).json()
        assert [step["step"] for step in answer["steps"]] == list(range(1, 301))
        assert again.get(f"/runs/{run}").json()["step"] == 300
        log = again.get(f"/runs/{run}/steps").json()["steps"]
    assert [step["results"] for step in log] == [step["results"] for step in answer["steps"]]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "99999999999999999999", "", "1&after=2", "1&other=2"])
def test_a_wrong_page_is_refused(client: httpx.Client, run: str, after: str) -> None:
    refused = client.get(f"/runs/{run}/results?after={after}")
    assert (refused.status_code, error(refused)) == (422, "invalid_request")


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "ümlaut", "a\x7fb"])
def test_a_wrong_key_is_refused(client: httpx.Client, run: str, key: str) -> None:
    refused = client.post(f"/runs/{run}/steps", headers=[("Idempotency-Key", key.encode())])
    assert refused.status_code in (400, 422)
    assert client.get(f"/runs/{run}").json()["step"] == 0


def test_two_keys_are_refused(client: httpx.Client, run: str) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    refused = client.post(f"/runs/{run}/steps", headers=headers)
    assert (refused.status_code, error(refused)) == (422, "invalid_request")


def test_results_are_thinned_to_some_points_in_json_and_csv(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 40})
    full = client.get(f"/runs/{run}/results").json()
    assert client.get(f"/runs/{run}/results?points=40").json() == full
    thin = client.get(f"/runs/{run}/results?points=8").json()
    assert thin["next"] is None
    for scenario in ("base", "full"):  # the water only rises
        found, all_of_it = thin["results"]["bath"][scenario], full["results"]["bath"][scenario]
        assert found["step"] == [1, 20, 21, 40]
        assert found["values"]["water"] == [all_of_it["values"]["water"][step - 1] for step in found["step"]]
    lines = client.get(f"/runs/{run}/results?points=8&format=csv").text.splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", *["1", "1", "20", "20", "21", "21", "40", "40"]]
    assert client.get(f"/runs/{run}/results?points=3").status_code == 422
