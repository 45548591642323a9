"""The command line as its operator meets it: real processes, the embedded database, clear refusals."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.conftest import ROOT, Process, free_port, until

GUIDES: Final = ROOT / "tests" / "data" / "guides"


def greenline(*arguments: str, answer: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GREENLINE_")} | {"PYTHONPATH": str(ROOT)}
    environment |= {f"GREENLINE_{name.upper()}": value for name, value in settings.items()} | {"COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, "-m", "greenline", *arguments],
        input=answer, env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that an embedded database can live in."""
    with tempfile.TemporaryDirectory(prefix="gl-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


def refused(finished: subprocess.CompletedProcess[str], *words: str) -> None:
    """It said in one sentence per language what is wrong, and nothing else."""
    assert finished.returncode == 2, finished
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 2, finished.stderr
    assert all(word in finished.stderr for word in words), finished.stderr


def ask(base: str, question: str) -> dict[str, object]:
    """What the guide answers over HTTP."""
    answer: dict[str, object] = httpx.post(f"{base}/api/v1/guide/questions", json={"question": question}).json()
    return answer


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_taken_port_is_named(url: str, data: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        refused(greenline("run", "--port", port, database_url=url, data_dir=str(data)), port)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused(greenline("migrate", data_dir=str(tmp_path / "file" / "data")), str(tmp_path / "file" / "data"))


def test_an_unreachable_database_is_named_without_its_password(data: Path) -> None:
    url = f"postgresql://clerk:hunter2@127.0.0.1:{free_port()}/none"
    finished = greenline("run", "--port", str(free_port()), database_url=url, data_dir=str(data))
    refused(finished, "127.0.0.1", "GREENLINE_DATABASE_URL")
    assert "hunter2" not in finished.stderr + finished.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "80000"), ("timezone", "Mars/Olympus"), ("locale", "de"), ("telegram_token", "secret"),
        ("telegram_webhook_secret", "with space"), ("telegram_api_url", "ftp://x"), ("encoder", "huge"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named_and_secrets_are_not_shown(name: str, value: str, data: Path) -> None:
    finished = greenline("check", data_dir=str(data), **{name: value})
    refused(finished, f"GREENLINE_{name.upper()}")
    assert (value in finished.stderr) == (name not in ("telegram_token", "telegram_webhook_secret"))


def test_a_webhook_needs_a_public_address(data: Path) -> None:
    finished = greenline("check", data_dir=str(data), telegram_webhook_secret="abc", telegram_token="1:a")
    refused(finished, "GREENLINE_PUBLIC_URL")


@pytest.mark.parametrize("name", ["empty.txt", "broken.docx", "not_a_guide.txt"])
def test_a_file_that_is_no_guide_is_refused_and_nothing_is_published(name: str, url: str, data: Path) -> None:
    refused(greenline("guide", "import", str(GUIDES / name), "--yes", database_url=url, data_dir=str(data)), name)


# -- work -------------------------------------------------------------------------------------------------------------


def test_every_command_explains_itself() -> None:
    listed = greenline("--help").stdout
    for command in ("run", "web", "bot", "worker", "migrate", "demo", "check", "guide"):
        assert command in listed
        assert greenline(command, "--help").returncode == 0
    for command in ("ask", "import", "evaluate"):
        assert command in greenline("guide", "--help").stdout


def test_check_finds_nothing_wrong_with_an_embedded_database(data: Path) -> None:
    finished = greenline("check", data_dir=str(data))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "94" in finished.stdout and "✗" not in finished.stdout


def test_an_imported_guide_is_shown_confirmed_and_answers_without_a_restart(
    start: Callable[..., Process], url: str, data: Path
) -> None:
    process = start("run").ready()
    question = "居民家里的水表使用满几年要更换"

    def asked() -> str:
        return str(ask(process.base, question))

    assert "水表" not in asked()
    file, settings = str(GUIDES / "water.txt"), {"database_url": url, "data_dir": str(data)}

    declined = greenline("guide", "import", file, answer="n\n", **settings)
    assert declined.returncode == 1 and "第五十二条" in declined.stdout and "52" in declined.stdout
    again = greenline("guide", "import", file, answer="y\n", **settings)
    assert again.returncode == 0, again.stderr

    until(lambda: "居民水表使用满六年" in asked(), seconds=60)
    unchanged = greenline("guide", "import", file, **settings)
    assert unchanged.returncode == 0 and "52" in unchanged.stdout


def test_commands_work_while_everything_runs_on_the_same_data_folder(data: Path) -> None:
    process = Process("", data, "run")
    try:
        process.ready()
        finished = greenline("guide", "ask", "双电源的供电方案多久能出来?", data_dir=str(data))
        assert finished.returncode == 0 and "二个月" in finished.stdout and "第四条" in finished.stdout
        assert httpx.get(f"{process.base}/readyz").status_code == 200
    finally:
        assert process.stop() == 0
    finished = greenline("guide", "ask", "双电源的供电方案多久能出来?", data_dir=str(data))
    assert "二个月" in finished.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_during_the_start_leaves_no_database_behind(number: signal.Signals, data: Path) -> None:
    process = Process("", data, "run")
    pid_file = data / "postgres" / "postmaster.pid"
    until(pid_file.exists)
    process.process.send_signal(number)
    process.process.wait(30)
    assert not pid_file.exists()


def test_the_parts_run_apart_on_one_database(start: Callable[..., Process]) -> None:
    web, worker = start("web").ready(), start("worker")
    assert ask(web.base, "双电源的供电方案多久能出来?")["decision"] == "answer"
    until(lambda: "running" in worker.output())
    assert web.stop() == 0 and worker.stop() == 0


def test_evaluate_prints_figures_for_questions_and_intents(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"q": "双电源的供电方案多久能出来?", "id": "g11", "style": "formal"}\n', encoding="utf-8")
    finished = greenline("guide", "evaluate", str(questions), "--json", data_dir=str(tmp_path / "data"))
    assert '"top1": 100.0' in finished.stdout, finished.stderr
    questions.write_text('{"q": "我要投诉", "intent": "complaint"}\n{"q": 5}\n', encoding="utf-8")
    bad = greenline("guide", "evaluate", str(questions), data_dir=str(tmp_path / "data"))
    assert bad.returncode == 2 and ":2:" in bad.stderr
