"""The OpenAPI document holds what it promises: generated calls find no crash and no answer out of shape."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from api.services import Services
from tests.api.conftest import API, arrive, serving

PUBLIC = ("/api/v1/chat/", "/api/v1/guide/")
STREAMS = {"/api/v1/chat/events"}  # never end; test_stream.py reads them
EXAMPLES = 12
WANTED = [not_a_server_error, content_type_conformance, response_schema_conformance]


def operations(schema: Any) -> list[Any]:
    found = [result.ok() for result in schema.get_all_operations()]
    return [each for each in found if each.path.startswith(PUBLIC) and each.path not in STREAMS]


async def test_generated_calls_find_no_crash_and_no_answer_out_of_shape(services: Services) -> None:
    async with serving(services) as base:
        async with httpx.AsyncClient(base_url=base) as http:
            document = (await http.get("/openapi.json")).json()
            visitor = await arrive(http)
        tried = await asyncio.to_thread(_try, document, base, visitor.headers)
    assert tried.keys() >= {f"{API}/sessions", f"{API}/messages", "/api/v1/guide/questions"}
    assert min(tried.values()) >= 5, tried


def _try(document: dict[str, Any], base: str, headers: dict[str, str]) -> dict[str, int]:
    """Call every operation a few times; how often each path was called."""
    tried: dict[str, int] = {}
    for operation in operations(schemathesis.openapi.from_dict(document)):
        tried[operation.path] = tried.get(operation.path, 0) + _probe(operation, base, headers)
    return tried


def _probe(operation: Any, base: str, headers: dict[str, str]) -> int:
    tried = 0

    @seed(7)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def probe(case: Any) -> None:
        nonlocal tried
        tried += 1
        case.call_and_validate(base_url=base, headers=headers, checks=WANTED)

    probe()
    return tried


async def test_the_document_describes_problems_and_hides_pages(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert not {"/chat", "/metrics", "/telegram/webhook", "/"} & document["paths"].keys()
    for path, methods in document["paths"].items():
        if path.startswith(PUBLIC):
            for operation in methods.values():
                content = operation["responses"]["4XX"]["content"]
                assert content["application/problem+json"]["schema"]["title"] == "Problem"


@pytest.mark.parametrize("path", ["/docs"])
async def test_the_description_can_be_read(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200
