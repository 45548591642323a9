"""The program as its operator meets it: real processes, real signals."""

from collections.abc import Callable

import httpx

from tests.conftest import Process


def test_a_started_process_answers_and_stops_cleanly(start: Callable[..., Process]) -> None:
    process = start("run").ready()
    asked = httpx.post(f"{process.base}/api/v1/guide/questions", json={"question": "双电源的供电方案多久能出来?"})
    assert asked.json()["decision"] == "answer" and "二个月" in asked.json()["answer"]
    assert process.stop() == 0, process.output()
