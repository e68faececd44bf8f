"""A port that another program has: the message names the port, who has it, and what to change."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulators.azure.errors import AzureError
from emulators.azure.postgres import PostgresServer, Template
from emulators.azure.processes import Children
from emulators.azure.services import Services, services_of
from emulators.world import load_world


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("name", ["entra", "graph", "ehr-lakeside"])
def test_an_emulators_taken_port_is_named_with_its_program_and_the_remedy(
    tmp_path: Path, taken: int, name: str
) -> None:
    (service,) = [s for s in services_of(load_world()) if s.name == name]
    there = type(service)(service.name, service.arguments, f"https://127.0.0.1:{taken}")

    async def start() -> None:
        services = Services(tmp_path, Children(tmp_path), [there])
        services.begin()
        await services.wait_up()

    with pytest.raises(AzureError) as refused:
        asyncio.run(start())
    said = refused.value.message
    assert f"port {taken} of 127.0.0.1" in said
    assert f"'{name}'" in said
    assert f"(pid {os.getpid()})" in said
    assert "emulators/world.yaml" in said
    assert "the stack's configuration" in said


def test_a_databases_taken_port_is_named_with_the_remedy(tmp_path: Path, taken: int) -> None:
    template = Template(tmp_path)

    async def start() -> None:
        folder = tmp_path / "postgres" / "psql-small"
        folder.mkdir(parents=True)
        (folder / "PG_VERSION").touch()
        await PostgresServer(tmp_path, "psql-small", taken, Children(tmp_path), template).start()

    with pytest.raises(AzureError) as refused:
        asyncio.run(start())
    assert f"port {taken} of 127.0.0.1" in refused.value.message
    assert "'psql-small'" in refused.value.message
    assert "stop that program" in refused.value.message
