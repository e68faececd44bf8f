"""The emulated Azure under the real engine: a program with resources of its types, and real processes behind."""

import base64
import json
import os
import signal
import socket
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import psycopg
import pytest

from emulators.azure import client
from emulators.azure.tokens import DATABASE, EXCHANGE, STORAGE, VAULT
from tests.support.azure_cloud import APP, GROUP, SERVER, Cloud, until


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, pulumi_executable: Path) -> Generator[Cloud]:
    """The program is up. The path is longer than the address of a Unix socket may be."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud") / ("a-deep-clone-" * 9), pulumi_executable)
    try:
        preview = cloud.run("preview")
        assert preview.code == 0, preview.output
        assert not cloud.store().read().resources, "a preview made something"
        assert not client.is_running(cloud.state), "a preview started the supervisor"
        up = cloud.up()
        assert up.code == 0, up.output
        yield cloud
    finally:
        cloud.close()


@pytest.fixture
def healthy(cloud: Cloud) -> Cloud:
    """The program is up as it was first, whatever an earlier test left."""
    varied = {"variable", "tag", "unchained", "variableSize", "secret"} & cloud.settings.keys()
    if varied or not cloud.as_it_was:
        cloud.unset(*varied)
        up = cloud.up()
        assert up.code == 0, up.output
    return cloud


def test_a_second_update_changes_nothing(healthy: Cloud) -> None:
    again = healthy.run("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert again.code == 0, again.output


def test_a_refresh_finds_no_drift_where_nobody_drifted(healthy: Cloud) -> None:
    refresh = healthy.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert refresh.code == 0, refresh.output


def test_drift_is_found_by_refresh_and_undone_by_the_next_update(healthy: Cloud) -> None:
    with healthy.store().transaction() as contents:
        group = contents.get(GROUP)
        assert group is not None
        group["tags"] = {"tag": "drifted", "by": "hand"}
    assert healthy.run("refresh", "--yes", "--skip-preview").changes()["updated"] == 1
    assert healthy.up().changes()["updated"] == 1
    repaired = healthy.store().read().get(GROUP)
    assert repaired is not None
    assert repaired["tags"] == {"tag": "one"}


def test_a_container_sees_its_template_and_the_platform_and_nothing_of_ours(healthy: Cloud) -> None:
    environment = json.loads(healthy.get("/environment"))
    template = {"VARIABLE", "VAULT", "STORAGE", "KEY", "DATABASE", "MAIN_CLIENT_ID", "INIT_CLIENT_ID"}
    identity = {"IDENTITY_ENDPOINT", "IDENTITY_HEADER"}
    app = {"CONTAINER_APP_NAME", "CONTAINER_APP_REVISION", "CONTAINER_APP_REPLICA_NAME", "CONTAINER_APP_PORT"}
    process = {"PATH", "LANG", "LC_CTYPE", "PYTHONPATH", "PYTHONUNBUFFERED", "TEAMS_EHR_CONNECTOR_STATE"}
    assert environment.keys() - process == template | identity | app


def test_only_the_main_identity_and_known_audiences_get_tokens_in_the_main_container(healthy: Cloud) -> None:
    for audience in (VAULT, DATABASE, STORAGE, EXCHANGE):
        assert "access_token" in healthy.get(f"/token/{audience}")
    assert "statusCode" in healthy.get("/token/https://graph.microsoft.com")
    environment = json.loads(healthy.get("/environment"))
    url = f"{environment['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource={VAULT}"
    status, _ = healthy.request(f"{url}&client_id={environment['MAIN_CLIENT_ID']}")
    assert status == 401, "no X-IDENTITY-HEADER"


def test_the_vault_answers_who_may_and_refuses_who_may_not(healthy: Cloud) -> None:
    vault = json.loads(healthy.get("/environment"))["VAULT"]
    secret = f"{vault}secrets/greeting?api-version=7.4"
    reader = json.loads(healthy.get(f"/token/{VAULT}"))["access_token"]
    other = json.loads(healthy.get(f"/token/{DATABASE}"))["access_token"]
    assert healthy.request(secret)[0] == 401
    assert healthy.request(secret, token=other)[0] == 401
    assert json.loads(healthy.request(secret, token=reader)[1])["value"] == "hello"
    assert healthy.request(secret, token=reader, method="PUT", body={"value": "x"})[0] == 403
    operator = client.operator_token(healthy.state)
    absent = f"{vault}secrets/absent?api-version=7.4"
    assert healthy.request(absent, token=operator)[0] == 404
    assert healthy.request(absent, token=operator, method="PUT", body={"value": "x"})[0] == 200
    assert healthy.request(absent, token=reader)[0] == 200


def test_a_key_signs_for_whom_it_was_assigned_to_and_nobody_else(healthy: Cloud) -> None:
    key = json.loads(healthy.get("/environment"))["KEY"]
    signer = json.loads(healthy.get(f"/token/{VAULT}"))["access_token"]
    body = {"alg": "ES256", "value": base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()}
    status, answer = healthy.request(f"{key}/sign?api-version=7.4", token=signer, method="POST", body=body)
    assert (status, json.loads(answer)["kid"]) == (200, key)
    operator = client.operator_token(healthy.state)
    assert healthy.request(f"{key}/sign?api-version=7.4", token=operator, method="POST", body=body)[0] == 403


def test_a_head_is_written_once_by_the_app_and_read_by_a_member_of_the_group(healthy: Cloud) -> None:
    head = f"{json.loads(healthy.get('/environment'))['STORAGE']}heads/1.json"
    headers = {"x-ms-version": "2021-12-02", "x-ms-blob-type": "BlockBlob"}
    writer = json.loads(healthy.get(f"/token/{STORAGE}"))["access_token"]
    operator = client.operator_token(healthy.state, STORAGE)
    assert healthy.request(head, token=operator, method="PUT", body={}, headers=headers)[0] == 403
    assert healthy.request(head, token=writer, method="PUT", body={"n": 1}, headers=headers)[0] == 201
    assert healthy.request(head, token=writer, method="PUT", body={"n": 2}, headers=headers)[0] == 409
    assert healthy.request(head, token=writer, method="DELETE", headers=headers)[0] == 409
    assert json.loads(healthy.request(head, token=operator, headers=headers)[1]) == {"n": 1}


def test_a_secret_changed_through_resource_manager_is_a_new_version_in_the_vault(healthy: Cloud) -> None:
    healthy.set(secret="hello again")
    assert healthy.up().changes()["updated"] == 1
    vault = json.loads(healthy.get("/environment"))["VAULT"]
    reader = json.loads(healthy.get(f"/token/{VAULT}"))["access_token"]
    _, body = healthy.request(f"{vault}secrets/greeting?api-version=7.4", token=reader)
    assert json.loads(body)["value"] == "hello again"


def test_a_database_login_takes_a_token_of_the_roles_identity_alone(healthy: Cloud) -> None:
    environment = json.loads(healthy.get("/environment"))
    host, port = environment["DATABASE"].split(":")
    stranger = json.loads(healthy.get(f"/token/{DATABASE}"))["access_token"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=host, port=port, user="connector_init", password=stranger, dbname="connector")


def test_a_new_template_takes_over_and_a_failing_one_leaves_the_old_one_serving(healthy: Cloud) -> None:
    healthy.set(variable="two")
    assert healthy.up().code == 0
    assert healthy.get("/") == "two"
    healthy.set(variable="fail")
    failed = healthy.up()
    assert failed.code != 0
    assert "this init container fails on purpose" in failed.output
    assert healthy.get("/") == "two"


def test_unchained_children_of_a_server_find_it_busy(healthy: Cloud) -> None:
    healthy.run("destroy", "--yes", "--skip-preview", "--target-dependents", "--target", _urn("Server", "server"))
    healthy.set(unchained="true")
    failed = healthy.up()
    assert failed.code != 0
    assert "ServerIsBusy" in failed.output
    healthy.unset("unchained")
    assert healthy.up().code == 0


def test_a_variable_over_32_kib_is_refused(healthy: Cloud) -> None:
    healthy.set(variableSize=str(32 * 1024 + 1))
    failed = healthy.up()
    assert failed.code != 0
    assert "is over 32 KiB" in failed.output


@pytest.mark.parametrize(
    ("fault", "message"),
    [("conflict", "another operation"), ("policy", "RequestDisallowedByPolicy"), ("throttled", None)],
)
def test_faults_on_request_reach_the_engine_and_throttling_is_ridden_out(
    healthy: Cloud, fault: str, message: str | None
) -> None:
    rules = [{"operation": "update", "type": "azure-native:resources:ResourceGroup", "fault": fault, "times": 2}]
    (healthy.state / "azure" / "faults.json").write_text(json.dumps(rules))
    healthy.set(tag=fault)
    up = healthy.up()
    (healthy.state / "azure" / "faults.json").unlink()
    assert (up.code == 0) is (message is None)
    assert message is None or message in up.output


def test_a_killed_app_and_a_killed_database_come_back(healthy: Cloud) -> None:
    for name in ("ca-small", "postgres-psql-small"):
        before = healthy.process(name).pid
        os.kill(before, signal.SIGKILL)
        until(lambda name=name, before=before: _pid(healthy, name) not in (None, before), 15)
    until(lambda: healthy.get("/") == "plain", 15)
    assert client.reconcile(healthy.state, [SERVER, APP])["resources"][SERVER.lower()]["state"] == "ready"


def test_a_killed_reaper_is_replaced(healthy: Cloud) -> None:
    reaper = _reaper(healthy)
    assert reaper is not None
    reaper.kill()
    until(lambda: (now := _reaper(healthy)) is not None and now.pid != reaper.pid, 10)


def test_a_killed_supervisor_takes_its_children_along_and_the_next_command_brings_all_back(healthy: Cloud) -> None:
    supervisor = healthy.supervisor()
    session = supervisor.pid
    supervisor.kill()
    until(lambda: not [p for p in healthy.living() if _session(p) == session or "postgres" in p.name()], 10)
    assert healthy.up().code == 0
    assert client.reconcile(healthy.state, ["*"])["resources"][APP.lower()]["state"] == "ready"
    assert healthy.get("/") == "plain"


def test_a_taken_port_is_named_and_the_next_update_heals_what_was_half_made(healthy: Cloud) -> None:
    healthy.run("destroy", "--yes", "--skip-preview", "--target", _urn("ContainerApp", "app"))
    port = int(healthy.host.partition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        failed = healthy.up()
    assert failed.code != 0
    assert f"port {port} of 127.0.0.1" in failed.output
    assert "publicHosts" in failed.output
    assert healthy.up().code == 0
    assert healthy.get("/") == "plain"


def test_destroy_ends_every_process_and_removes_keys_secrets_and_data(healthy: Cloud) -> None:
    destroyed = healthy.destroy()
    assert destroyed.code == 0, destroyed.output
    assert healthy.living() == []
    made = [
        "ca",
        "postgres",
        "images",
        "azure/vaults",
        "azure/storage",
        "azure/identity-signing-key.pem",
        "entra/signing-key.pem",
    ]
    assert [path for path in made if (healthy.state / path).exists()] == []
    assert not healthy.store().read().resources
    calls = (healthy.state / "azure" / "calls.jsonl").read_text()
    assert '"call":"Delete"' in calls
    assert "hello" not in calls


def _urn(kind: str, name: str) -> str:
    token = {"Server": "dbforpostgresql:Server", "ContainerApp": "app:ContainerApp"}[kind]
    return f"urn:pulumi:small::azure-emulator::azure-native:{token}::{name}"


def _pid(cloud: Cloud, name: str) -> int | None:
    status = client.supervisor_status(cloud.state) or {"processes": {}}
    return status["processes"].get(name, {}).get("pid")


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _reaper(cloud: Cloud) -> psutil.Process | None:
    for process in cloud.supervisor().children():
        try:
            if "emulators.azure.reaper" in process.cmdline():
                return process
        except psutil.Error:
            time.sleep(0)
    return None
