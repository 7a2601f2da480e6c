"""Experiments and results over HTTP, on a real server."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.served import Served, served
from tests.support.zips import PENDULUM, unzipped, zip_of

from perdure.artifacts import Artifacts

ZIP = {"Content-Type": "application/zip"}
LIMIT = 200_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with served(
        folder, tokens="ada:token-a,grace:token-g", max_upload_bytes=LIMIT, max_experiment_files=20
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client("token-a") as made:
        yield made


@pytest.fixture(scope="module")
def grace(server: Served) -> Iterator[httpx.Client]:
    with server.client("token-g") as made:
        yield made


@pytest.fixture
def pendulum(client: httpx.Client) -> Iterator[str]:
    create(client, "pendulum").raise_for_status()
    yield "/experiments/pendulum"
    client.delete("/experiments/pendulum")


def create(client: httpx.Client, name: str, data: bytes | None = None) -> httpx.Response:
    content = zip_of(PENDULUM) if data is None else data
    return client.post("/experiments", params={"name": name}, content=content, headers=ZIP)


def error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    code: str = response.json()["error"]["code"]
    return code


def test_an_experiment_is_made_listed_read_and_deleted(client: httpx.Client) -> None:
    made = create(client, "first")
    assert (made.status_code, made.headers["Location"]) == (201, "/experiments/first")
    read = client.get("/experiments/first").json()
    assert read == made.json()
    assert [file["path"] for file in read["files"]] == sorted(PENDULUM)
    assert [file["size"] for file in read["files"]] == [len(PENDULUM[path]) for path in sorted(PENDULUM)]
    listed = client.get("/experiments").json()["experiments"]
    assert {key: read[key] for key in ("name", "created", "modified", "size")} in listed
    assert create(client, "first").status_code == 200
    assert error(create(client, "first", zip_of({"other": b""})), 409) == "experiment_exists"
    assert client.delete("/experiments/first").status_code == 204
    assert error(client.get("/experiments/first"), 404) == "experiment_not_found"


def test_all_files_come_as_a_zip(client: httpx.Client, pendulum: str) -> None:
    answer = client.get(f"{pendulum}/zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert 'filename="pendulum.zip"' in answer.headers["Content-Disposition"]
    assert unzipped(answer.content) == PENDULUM


def test_a_file_is_read_and_not_sent_again_while_it_is_the_same(client: httpx.Client, pendulum: str) -> None:
    answer = client.get(f"{pendulum}/files/engines/pendulum.py")
    assert answer.content == PENDULUM["engines/pendulum.py"]
    assert answer.headers["Content-Length"] == str(len(answer.content))
    again = {"If-None-Match": f'"other", {answer.headers["ETag"]}'}
    unchanged = client.get(f"{pendulum}/files/engines/pendulum.py", headers=again)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert error(client.get(f"{pendulum}/files/none"), 404) == "artifact_not_found"


def test_a_file_is_replaced_if_it_is_the_one_that_was_read(client: httpx.Client, pendulum: str) -> None:
    place = f"{pendulum}/files/main_script.py"
    tag = client.get(place).headers["ETag"]
    replaced = client.put(place, content=b"new", headers={"If-Match": tag})
    assert replaced.status_code == 200
    assert replaced.json()["size"] == 3
    assert error(client.put(place, content=b"lost", headers={"If-Match": tag}), 412) == "file_changed"
    assert error(client.delete(place, headers={"If-Match": tag}), 412) == "file_changed"
    assert error(client.put(place, content=b"x", headers={"If-None-Match": "*"}), 412) == "file_changed"
    read = client.get(place)
    assert (read.content, read.headers["ETag"]) == (b"new", replaced.headers["ETag"])
    added = client.put(f"{pendulum}/files/data/ä 1.txt", content=b"", headers={"If-None-Match": "*"})
    assert added.status_code == 201
    assert client.get(f"{pendulum}/files/data/ä 1.txt").content == b""
    assert client.delete(place, headers={"If-Match": "*"}).status_code == 204
    assert error(client.delete(place), 404) == "artifact_not_found"


def test_of_many_who_replace_a_file_they_read_one_succeeds(client: httpx.Client, pendulum: str) -> None:
    place = f"{pendulum}/files/main_script.py"
    tag = {"If-Match": client.get(place).headers["ETag"]}
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda number: client.put(place, content=b"%d" % number, headers=tag), range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    (won,) = (number for number, answer in enumerate(answers) if answer.status_code == 200)
    assert client.get(place).content == b"%d" % won


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a.js", "application/octet-stream"),
        ("a.json", "application/json"),
        ("a.log", "text/plain; charset=utf-8"),
        ("a.PNG", "image/png"),
        ("a", "application/octet-stream"),
    ],
)
def test_no_browser_runs_what_it_downloads(client: httpx.Client, pendulum: str, path: str, kind: str) -> None:
    client.put(f"{pendulum}/files/{path}", content=b"<script>1</script>").raise_for_status()
    headers = client.get(f"{pendulum}/files/{path}").headers
    assert headers["Content-Type"] == kind
    assert headers["Content-Disposition"].startswith("attachment;")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]


def test_a_name_cant_break_out_of_the_header(client: httpx.Client, pendulum: str) -> None:
    client.put(f'{pendulum}/files/a";x="ü.txt', content=b"1").raise_for_status()
    header = client.get(f'{pendulum}/files/a";x="ü.txt').headers["Content-Disposition"]
    assert header == "attachment; filename=\"a_;x=__.txt\"; filename*=UTF-8''a%22%3Bx%3D%22%C3%BC.txt"


@pytest.mark.parametrize(
    "path", ["..%2fabove", "a%2f..%2f..%2fb", "%2fetc", "a%00b", "a%5Cb", "a%2f%2fb", "x" * 300]
)
def test_a_path_that_leads_elsewhere_is_refused(server: Served, pendulum: str, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        headers = {"Authorization": "Bearer token-a"}
        connection.request(method, f"{pendulum}/files/{path}", b"x" if method == "PUT" else None, headers)
        answer = connection.getresponse()
        assert answer.status == 422
        assert json.loads(answer.read())["error"]["code"] == "invalid_name"
        connection.close()


def test_hostile_zips_are_refused_and_leave_nothing(client: httpx.Client) -> None:
    before = client.get("/experiments").json()
    bomb = zip_of({f"{number}": bytes(9_000_000) for number in range(10)})
    for data in (b"", b"no zip", zip_of({"../x": b"1", "y": b""}), zip_of({}), bomb):
        assert error(create(client, "hostile", data), 422) == "invalid_archive"
    many = zip_of({f"{number}": b"" for number in range(21)})
    assert error(create(client, "hostile", many), 422) == "limit_exceeded"
    assert client.get("/experiments").json() == before


def test_a_zip_is_declared_as_one_and_not_too_large(client: httpx.Client) -> None:
    params = {"name": "x"}
    assert error(client.post("/experiments", params=params, json={}), 415) == "unsupported_media_type"
    large = client.post("/experiments", params=params, content=bytes(LIMIT + 1), headers=ZIP)
    assert error(large, 413) == "body_too_large"
    assert "PERDURE_MAX_UPLOAD_BYTES" in large.json()["error"]["message"]


def test_an_endless_file_is_refused_while_it_comes(client: httpx.Client, pendulum: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(10_000)

    assert error(client.put(f"{pendulum}/files/endless", content=chunks()), 413) == "body_too_large"
    assert error(client.get(f"{pendulum}/files/endless"), 404) == "artifact_not_found"


def test_an_upload_that_breaks_off_leaves_nothing(server: Served, client: httpx.Client) -> None:
    data = zip_of(PENDULUM)
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.putrequest("POST", "/experiments?name=broken")
    connection.putheader("Authorization", "Bearer token-a")
    connection.putheader("Content-Type", "application/zip")
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders()
    connection.send(data[:-10])
    connection.close()
    assert error(client.get("/experiments/broken"), 404) == "experiment_not_found"
    assert create(client, "broken").status_code == 201
    assert "request_failed" not in server.log.read_text()


@pytest.mark.parametrize("name", ["..", "a/b", ".x", "", "x" * 81, "a b"])
def test_a_name_that_is_none_is_refused(client: httpx.Client, name: str) -> None:
    assert error(create(client, name), 422) == "invalid_request"


def test_an_experiment_may_be_called_like_a_route_of_another_dialect(client: httpx.Client) -> None:
    assert create(client, "run-step").status_code == 201
    assert client.get("/experiments/run-step").status_code == 200


def test_owners_do_not_see_each_others(client: httpx.Client, grace: httpx.Client, pendulum: str) -> None:
    assert grace.get("/experiments").json() == {"experiments": []}
    for method, path in (
        ("GET", pendulum),
        ("GET", f"{pendulum}/zip"),
        ("GET", f"{pendulum}/files/main_script.py"),
        ("PUT", f"{pendulum}/files/main_script.py"),
        ("DELETE", f"{pendulum}/files/main_script.py"),
        ("DELETE", pendulum),
    ):
        assert error(grace.request(method, path), 404) == "experiment_not_found"
    assert unzipped(client.get(f"{pendulum}/zip").content) == PENDULUM


def test_without_a_token_there_is_nothing(server: Served, pendulum: str) -> None:
    with server.client() as nobody:
        assert error(nobody.get(f"{pendulum}/zip"), 401) == "unauthorized"
        assert error(create(nobody, "x"), 401) == "unauthorized"


def test_results_of_a_run_are_listed_and_read(
    client: httpx.Client, grace: httpx.Client, folder: Path, tmp_path: Path
) -> None:
    session = {"kind": "session", "scenarios": {"bath": ["base"]}}
    run = client.post("/runs", json=session).json()["id"]
    assert client.get(f"/runs/{run}/files").json() == {"files": []}
    assert unzipped(client.get(f"/runs/{run}/files.zip").content) == {}
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "engine.log").write_bytes(b"a line\n")
    (tmp_path / "out.csv").write_bytes(b"1,2\n")
    kept = Artifacts(str(folder / "perdure.db.artifacts"))  # beside the store
    kept.results("ada").upload(run, tmp_path)
    assert [file["path"] for file in client.get(f"/runs/{run}/files").json()["files"]] == [
        "logs/engine.log",
        "out.csv",
    ]
    log = client.get(f"/runs/{run}/files/logs/engine.log")
    assert (log.content, log.headers["Content-Type"]) == (b"a line\n", "text/plain; charset=utf-8")
    same = client.get(f"/runs/{run}/files/out.csv", headers={"If-None-Match": "*"})
    assert same.status_code == 304
    archive = client.get(f"/runs/{run}/files.zip")
    assert unzipped(archive.content) == {"logs/engine.log": b"a line\n", "out.csv": b"1,2\n"}
    assert error(client.get(f"/runs/{run}/files/none"), 404) == "artifact_not_found"
    for path in ("files", "files.zip", "files/out.csv"):
        assert error(grace.get(f"/runs/{run}/{path}"), 404) == "run_not_found"
        assert error(client.get(f"/runs/none/{path}"), 404) == "run_not_found"


def test_damage_is_told_and_no_half_file_taken_for_whole(
    client: httpx.Client, pendulum: str, folder: Path
) -> None:
    data = bytes(range(256)) * 700
    client.put(f"{pendulum}/files/data.bin", content=data).raise_for_status()
    (stored,) = (
        path
        for path in (folder / "perdure.db.artifacts").rglob("*-*")
        if path.is_file() and path.read_bytes() == data
    )
    stored.write_bytes(data[:-1] + b"\0")
    assert error(client.get(f"{pendulum}/files/data.bin"), 500) == "corrupt_blob"
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{pendulum}/zip")
