"""What /metrics says, read with Prometheus's own parsers."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from expect import nothing
from fragile import Fragile
from inprocess import Served, offering, own, serving
from machines import linked
from support import running

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, [one for one in own() if one.name != "projects"] + [offering(Fragile)]) as served:
        yield served


def samples(http: httpx2.Client) -> Samples:
    reply = http.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(reply.text))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def at(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_vms_are_counted_by_kind_and_status_and_none_are_zero(served: Served) -> None:
    assert at(samples(served.http), "labplane_vms", kind="fragile", status="stopped") == 0
    project = served.project()
    vms = [served.vm(project, "fragile") for _ in range(3)]
    assert served.http.post(f"{vms[0]}/start").status_code == 204
    found = samples(served.http)
    assert at(found, "labplane_vms", kind="fragile", status="stopped") == 2
    assert at(found, "labplane_vms", kind="fragile", status="started") == 1
    assert at(found, "labplane_vms", kind="vpcs", status="started") == 0
    assert at(found, "labplane_projects") == 1
    assert at(found, "labplane_vm_operation_seconds_count", kind="fragile", action="create", outcome="done") == 3
    assert at(found, "labplane_vm_operation_seconds_count", kind="fragile", action="start", outcome="done") == 1
    assert at(found, "labplane_vm_operation_seconds_sum", kind="fragile", action="start", outcome="done") > 0


def test_requests_are_counted_by_route_and_status_and_a_client_cannot_make_up_more(served: Served) -> None:
    project = served.project()
    missing = "00000000-0000-0000-0000-00000000000b"
    for path in (project, f"/v1/projects/{missing}", "/nowhere", "/somewhere"):
        served.http.get(path)
    for method in ("MKCOL", "PROPFIND"):
        served.http.request(method, project)
    served.http.get(project, headers={"Origin": "http://example.org"})
    found = samples(served.http)

    def count(method: str, route: str, status: int) -> float:
        return at(found, "labplane_request_seconds_count", method=method, route=route, status=str(status))

    one = "/v1/projects/{project_id}"
    assert count("POST", "/v1/projects", 201) == 1
    assert count("GET", one, 200) == 1
    assert count("GET", one, 404) == 1
    assert count("GET", "other", 404) == 2
    assert count("other", one, 405) == 2
    assert count("GET", "other", 403) == 1, "refused before its route was looked for"


def test_ports_and_faults_are_counted(served: Served) -> None:
    project = served.project()
    served.http.post(f"{project}/ports/udp")
    driver = next(one for one in served.lab.drivers.values() if isinstance(one, Fragile))
    driver.fails["start"] = ValueError("broken")
    vm = served.vm(project, "fragile")
    assert served.http.post(f"{vm}/start").status_code == 500
    driver.fails.clear()
    found = samples(served.http)
    assert at(found, "labplane_ports_leased", pool="udp") == 1
    assert at(found, "labplane_ports", pool="udp") == 20
    assert at(found, "labplane_plugin_faults_total", plugin="testing") == 1
    assert at(found, "labplane_plugin_faults_total", plugin="metrics") == 0
    assert at(found, "labplane_vm_operation_seconds_count", kind="fragile", action="start", outcome="refused") == 1


def test_a_histogram_counts_each_request_in_each_bucket_from_its_time_on(served: Served) -> None:
    served.http.get("/v1/version")
    found = samples(served.http)
    labels = {"method": "GET", "route": "/v1/version", "status": "200"}
    buckets = [at(found, "labplane_request_seconds_bucket", le=le, **labels) for le in ("0.0001", "1.0", "+Inf")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == at(found, "labplane_request_seconds_count", **labels) == 1


def test_two_labs_in_one_process_have_figures_of_their_own(served: Served, tmp_path: Path) -> None:
    served.project()
    with serving(tmp_path / "other", [one for one in own() if one.name != "projects"]) as other:
        assert at(samples(other.http), "labplane_projects") == 0
        assert at(samples(served.http), "labplane_projects") == 1
        labels = frozenset({"method": "POST", "route": "/v1/projects", "status": "201"}.items())
        assert ("labplane_request_seconds_count", labels) not in samples(other.http)


def test_who_asks_for_openmetrics_gets_it(served: Served) -> None:
    served.http.get("/v1/version")
    reply = served.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name for family in openmetrics_parser.text_string_to_metric_families(reply.text)}  # type: ignore[no-untyped-call]
    assert {"labplane", "labplane_vms", "labplane_request_seconds", "process_cpu_seconds"} <= families


def test_the_token_is_needed_as_for_any_route(tmp_path: Path) -> None:
    with running(tmp_path / "projects", "--auth", "token", "--token-file", str(tmp_path / "token")) as server:
        assert server.http.get("/metrics").status_code == 401
        bearer = {"Authorization": f"Bearer {(tmp_path / 'token').read_text().strip()}"}
        assert "labplane_info" in server.http.get("/metrics", headers=bearer).text
        away = server.http.get("/metrics", headers={**bearer, "Origin": "http://example.org"})
        assert away.status_code == 403


def test_commits_are_counted(served: Served) -> None:
    served.project()
    before = at(samples(served.http), "labplane_commit_seconds_count")
    served.project()
    found = samples(served.http)
    assert at(found, "labplane_commit_seconds_count") > before > 0
    assert at(found, "labplane_commit_seconds_sum") > 0


def test_the_processes_in_which_vms_run_have_figures_once_they_are_there(tmp_path: Path) -> None:
    with running(tmp_path / "projects") as server:
        assert ("labplane_beside_vms", frozenset({("process", "engine")})) not in samples(server.http)
        project = server.project()
        for engine in ("vpcs", "builtin"):
            nothing(server.http.post(f"{linked(server, project, engine=engine)}/start"))
        found = samples(server.http)
        for process in ("keeper", "engine"):
            assert at(found, "labplane_beside_vms", process=process) == 1
            assert at(found, "labplane_beside_resident_memory_bytes", process=process) > 1_000_000
            assert at(found, "labplane_beside_cpu_seconds_total", process=process) > 0
