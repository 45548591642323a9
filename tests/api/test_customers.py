"""The archive over HTTP: who sees what, masked; files taken in behind the request, with progress and bad rows."""

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

import greenline
from api.services import Services
from desk import archive, archive_runs, staff
from desk.permissions import Role
from desk.staff import Staff
from desk.store import Store
from tests.conftest import ROOT, SetClock

API: Final = "/api/v1"
SPOILED: Final = ROOT / "tests" / "data" / "archive" / "spoiled.csv"
NO: Final = "3300000000001"


def table(*rows: dict[str, object]) -> bytes:
    titles = list(dict.fromkeys(title for row in rows for title in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, titles)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


CITY: Final = table(
    *(
        {"户号": str(int(NO) + number), "户名": name, "客户类别": kind, "联系人": "张三丰", "联系电话": f"1990000000{number}",
         "片区": "城南片区", "片区管理所": "城南所", "客户经理": "陈晓", "村电工": proxy, "煤矿": mine, "2025年购电金额": 12.5}
        for number, (name, kind, proxy, mine) in enumerate(
            [("青禾医院", "医院", "", "否"), ("张伟", "村庄", "老赵", "否"), ("石坳煤矿", "工业", "", "是")]
        )
    )
)  # fmt: skip


async def caller(store: Store, clock: SetClock, role: Role, *, person: Staff | None = None) -> dict[str, str]:
    async with store.transaction() as db:
        if person:
            cookie = await staff.open_session(db, person, address="", device="", at=clock.now())
            return {"Cookie": f"greenline_staff={cookie}", "Origin": "http://greenline.test"}
        _, token = await staff.create_token(db, f"{role} program", role, by="test", at=clock.now())
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def worker(services: Services) -> AsyncIterator[None]:
    async with greenline.working(services):
        yield


@pytest.fixture
async def hall(store: Store, clock: SetClock) -> dict[str, str]:
    return await caller(store, clock, Role.HALL)


@pytest.fixture
async def city(store: Store, clock: SetClock, tmp_path: Path) -> dict[str, Staff]:
    """Three accounts, one in the care of a village electrician."""
    async with store.transaction() as db:
        people = [
            Staff(name="陈晓", role=Role.MANAGER, created_at=clock.now()),
            Staff(name="老赵", role=Role.PROXY, created_at=clock.now()),
        ]
        db.add_all(people)
    path = tmp_path / "city.csv"
    path.write_bytes(CITY)
    assert (await archive.import_file(store, path, by="test", clock=clock)).new == 3
    return {member.name: member for member in people}


async def send(
    client: httpx.AsyncClient, headers: dict[str, str], content: bytes, *, name: str = "city.csv", **form: str
) -> httpx.Response:
    return await client.post(f"{API}/customers/imports", headers=headers, files={"file": (name, content)}, data=form)


async def finished(client: httpx.AsyncClient, services: Services, headers: dict[str, str], location: str) -> Any:
    """The import once it has come to its end."""
    number, found = location.rpartition("/")[2], {}
    async for _ in services.bell.rings(f"import:{number}", patience=5):
        found = (await client.get(location, headers=headers)).json()
        if found["finished_at"]:
            break
    return found


# -- import -----------------------------------------------------------------------------------------------------------


async def test_a_spoiled_file_is_taken_in_behind_the_request(
    client: httpx.AsyncClient, services: Services, hall: dict[str, str], worker: None
) -> None:
    answer = await send(client, hall, SPOILED.read_bytes(), name="spoiled.csv")
    assert answer.status_code == 202, answer.text
    assert (answer.json()["stage"], answer.json()["done"]) == ("waiting", 0)
    location = answer.headers["location"]
    found = await finished(client, services, hall, location)
    assert (found["stage"], found["name"], found["by"]) == ("done", "spoiled.csv", "token:hall program")
    assert [found[part] for part in ("total", "done", "new", "changed", "unchanged", "bad")] == [10, 10, 3, 0, 0, 7]
    assert found["problems"][1] | {"reason": ""} == {
        "line": 4, "column": "户号", "code": "duplicate", "reason": "", "value": "3300000000101",
    }  # fmt: skip
    english = await client.get(f"{location}/bad.csv?lang=en", headers=hall)
    rows = list(csv.reader(io.StringIO(english.content.decode("utf-8-sig"))))
    assert english.headers["content-type"].startswith("text/csv") and rows[0][:3] == ["Row", "Column", "Reason"]
    assert [row[3] for row in rows[1:]] == [
        "date", "duplicate", "formula", "too_long", "year", "notation", "negative", "phone",
    ]  # fmt: skip
    assert rows[2][2] == "Same account as in row 2" and rows[3][4].startswith("'=HYPERLINK")
    again = await finished(client, services, hall, (await send(client, hall, SPOILED.read_bytes())).headers["location"])
    assert [again[part] for part in ("new", "changed", "unchanged", "bad")] == [0, 0, 3, 7]


async def test_a_dry_run_writes_nothing(
    client: httpx.AsyncClient, services: Services, hall: dict[str, str], worker: None
) -> None:
    answer = await send(client, hall, CITY, dry_run="true")
    found = await finished(client, services, hall, answer.headers["location"])
    assert (found["dry_run"], found["stage"], found["new"]) == (True, "done", 3)
    assert (await client.get(f"{API}/customers", headers=hall)).json()["accounts"] == []


async def test_a_file_that_cannot_be_used_is_refused_in_words(
    client: httpx.AsyncClient, services: Services, hall: dict[str, str], worker: None
) -> None:
    answer = await send(client, hall, table({"户号": NO, "地址": "x"}))
    found = await finished(client, services, hall, answer.headers["location"])
    assert found["stage"] == "refused" and found["refusal"]["code"] == "missing_columns"
    assert "户名" in found["refusal"]["detail"]
    english = (await client.get(f"{answer.headers['location']}?lang=en", headers=hall)).json()
    assert english["refusal"]["title"] == "The table lacks columns that it needs"
    empty = await send(client, hall, b"")
    assert (empty.status_code, empty.json()["code"]) == (422, "unreadable_sheet")


async def test_an_import_survives_the_process_that_took_it(
    client: httpx.AsyncClient, services: Services, hall: dict[str, str]
) -> None:
    answer = await send(client, hall, CITY)  # nobody works yet
    location = answer.headers["location"]
    assert (await client.get(location, headers=hall)).json()["stage"] == "waiting"
    async with greenline.working(services):
        found = await finished(client, services, hall, location)
    assert (found["stage"], found["new"]) == ("done", 3)
    number = location.rpartition("/")[2]
    await archive_runs.work(services.store, services.storage, services.clock, number, zone=services.settings.zone)
    assert (await client.get(location, headers=hall)).json() == found  # done is done


async def test_a_failure_of_ours_is_told_and_tried_again(
    client: httpx.AsyncClient, services: Services, hall: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    location = (await send(client, hall, CITY)).headers["location"]
    number = location.rpartition("/")[2]

    async def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(archive, "import_file", broken)
        await archive_runs.work(services.store, services.storage, services.clock, number, zone=services.settings.zone)
    assert (await client.get(location, headers=hall)).json()["stage"] == "failed"
    await archive_runs.work(services.store, services.storage, services.clock, number, zone=services.settings.zone)
    assert (await client.get(location, headers=hall)).json()["new"] == 3


async def test_an_unknown_import_is_not_found(client: httpx.AsyncClient, hall: dict[str, str]) -> None:
    for number in ("0" * 32, "1"):
        answer = await client.get(f"{API}/customers/imports/{number}", headers=hall)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_import")


async def test_only_the_hall_and_administrators_import(
    client: httpx.AsyncClient, store: Store, clock: SetClock
) -> None:
    answer = await send(client, await caller(store, clock, Role.AGENT), CITY)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


# -- look -------------------------------------------------------------------------------------------------------------


async def test_an_account_is_shown_with_everything_but_its_persons(
    client: httpx.AsyncClient, store: Store, clock: SetClock, city: dict[str, Staff]
) -> None:
    agent = await caller(store, clock, Role.AGENT)
    found = (await client.get(f"{API}/accounts/{NO}", headers=agent)).json()
    assert (found["name"], found["category"], found["important"], found["tier"]) == ("青禾医院", "hospital", True, "D")
    assert (found["area"], found["office"], found["manager"], found["proxy"]) == ("城南片区", "城南所", "陈晓", None)
    assert [(c["name"], c["phone"], c["how"]) for c in found["contacts"]] == [("张**", "199****0000", "archive")]
    assert [(y["year"], y["amount"], y["months"]) for y in found["years"]] == [(2025, "12.50", 12)]
    assert "19900000000" not in json.dumps(found) and "张三丰" not in json.dumps(found, ensure_ascii=False)
    missing = await client.get(f"{API}/accounts/9999999999", headers=agent)
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_account")


async def test_a_search_pages_by_cursor_and_filters(
    client: httpx.AsyncClient, store: Store, clock: SetClock, city: dict[str, Staff]
) -> None:
    agent = await caller(store, clock, Role.AGENT)

    async def get(query: str) -> Any:
        answer = await client.get(f"{API}/customers{query}", headers=agent)
        return answer.json() if answer.status_code == 200 else answer.status_code

    first = await get("?limit=2")
    assert [line["name"] for line in first["accounts"]] == ["青禾医院", "张*"]
    second = await get(f"?limit=2&after={first['next']}")
    assert [line["name"] for line in second["accounts"]] == ["石坳煤矿"] and second["next"] is None
    assert [line["name"] for line in (await get("?q=qhyy"))["accounts"]] == ["青禾医院"]
    assert [line["name"] for line in (await get("?flag=coal_mine"))["accounts"]] == ["石坳煤矿"]
    assert (await get("?tier=A"))["accounts"] == [] and (await get("?area=999"))["accounts"] == []
    assert [await get(query) for query in ("?after=x", "?tier=E", "?flag=rich", "?limit=0")] == [422] * 4


async def test_a_village_electrician_sees_only_the_accounts_they_serve(
    client: httpx.AsyncClient, store: Store, clock: SetClock, city: dict[str, Staff]
) -> None:
    proxy = await caller(store, clock, Role.PROXY, person=city["老赵"])
    found = (await client.get(f"{API}/customers", headers=proxy)).json()
    assert [line["no"] for line in found["accounts"]] == [str(int(NO) + 1)]
    assert (await client.get(f"{API}/accounts/{int(NO) + 1}", headers=proxy)).status_code == 200
    hidden, missing = [await client.get(f"{API}/accounts/{no}", headers=proxy) for no in (NO, "9999999999")]
    assert hidden.status_code == missing.status_code == 404 and hidden.json() == missing.json()
    program = await caller(store, clock, Role.PROXY)
    assert (await client.get(f"{API}/customers", headers=program)).json()["accounts"] == []


# -- export -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_an_export_is_masked_and_comes_in_again(
    kind: str, client: httpx.AsyncClient, services: Services, hall: dict[str, str], city: dict[str, Staff], worker: None
) -> None:
    answer = await client.get(f"{API}/customers/export?kind={kind}", headers=hall)
    assert answer.status_code == 200 and f"customers.{kind}" in answer.headers["content-disposition"]
    if kind == "csv":
        assert "199****0000" in answer.text and "19900000000" not in answer.text
    sent = await send(client, hall, answer.content, name=f"customers.{kind}")
    found = await finished(client, services, hall, sent.headers["location"])
    assert [found[part] for part in ("new", "changed", "unchanged", "bad")] == [0, 0, 3, 0]
    some = await client.get(f"{API}/customers/export?kind=csv&flag=coal_mine", headers=hall)
    assert len(some.text.splitlines()) == 2


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_who_exported_what_is_in_the_access_log_and_refused_tries_too(
    kind: str, client: httpx.AsyncClient, store: Store, clock: SetClock, hall: dict[str, str], city: dict[str, Staff]
) -> None:
    for query in ("", "&flag=coal_mine", "&q=青禾&tier=D"):
        assert (await client.get(f"{API}/customers/export?kind={kind}{query}", headers=hall)).status_code == 200
    agent = await caller(store, clock, Role.AGENT)
    assert (await client.get(f"{API}/customers/export?kind={kind}", headers=agent)).status_code == 403
    auditor = await caller(store, clock, Role.AUDITOR)
    lines = (await client.get(f"{API}/access", headers=auditor)).json()["lines"]
    assert [(line["by"], line["action"], line["subject"], line["reason"]) for line in lines[::-1]] == [
        ("token:hall program", "customers.export", "archive", "*"),
        ("token:hall program", "customers.export", "archive", "coal_mine"),
        ("token:hall program", "customers.export", "archive", "青禾 D"),
        ("token:agent program", "customers.export", lines[0]["subject"], "refused"),
    ]
