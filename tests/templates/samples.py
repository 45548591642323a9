"""Sample facts for everything that can be said."""

from decimal import Decimal
from typing import Any, Final

from tests.templates import staff_samples

Facts = dict[str, Any]

NONE: Final[list[Facts]] = [{}]
TIE: Final[Facts] = {
    "tier": "B", "cut": 40, "rank": 39, "accounts": 3, "amount": Decimal("812.50"),
    "named": ["3201000021", "3201000022", "3201000023"],
}  # fmt: skip
PLACED: Final[Facts] = {
    "tier": "B", "rank": 39, "of": 800, "cut": 40, "amount": Decimal("812.50"), "tied": 2,
    "named": ["3201000021", "3201000022"], "raised": True, "short": Decimal("87.50"), "near": True,
    "kwh": Decimal("999.00"), "months": 6, "large": True, "limit": 900, "important": True,
}  # fmt: skip
MINE: Final[Facts] = {"no": "3201000021", "name": "Mill"}
PLACE: Final[Facts] = {
    "position": 3, "ahead": 2, "minutes": 8, "agents": 2, "reason": "words", "green": True, "promised": True, "hours": 24,
}  # fmt: skip
TEXTS: Final[dict[str, list[Facts]]] = {
    "_archive_bad": [{"rows": 7, "path": "bad.csv"}],
    "_archive_bad_unwritten": [{"rows": 7}],
    "_archive_done": [{"name": "customers.csv", "rows": 1044, "good": 1037}],
    "_archive_exported": [{"accounts": 1037, "path": "customers.xlsx"}],
    "_archive_tried": [{"name": "customers.csv", "rows": 1044, "good": 1037}],
    "_archive_unknown": [{"columns": "Load class"}],
    "_demo_loaded": [{"accounts": 1037}],
    "_demo_there": [{}],
    "_erased": [{"subject": "3201000021", "done": True}, {"subject": "17", "done": False}],
    "_import_confirm": [{}],
    "_import_counts": [{"entries": 40, "new": 31, "changed": 5, "unchanged": 4, "withdrawn": 2}],
    "_import_done": [{"written": 36, "withdrawn": 2}],
    "_staff_added": [
        {"name": "Li Na", "role": "agent", "password": None},
        {"name": "Li Na", "role": "agent", "password": "abcde-fghjk"},
    ],
    "_staff_disabled": [{"name": "Li Na"}],
    "_token_made": [
        {"name": "meter", "role": "hall", "days": None},
        {"name": "meter", "role": "hall", "days": 30},
    ],
    "_ready": [{"port": 8000, "seconds": "2.4"}],
    "_sms_code": [{"code": "012345", "minutes": 10}],
    "_tiers_confirmed": [{"year": 2027, "accounts": 800, "up": 41, "down": 12}],
    "_tiers_frozen": [{"year": 2027, "by": "Li Na"}],
    "_tiers_none_near": NONE,
    "_queue_simulated": [
        {"arrivals": 0, "agents": 0, "utilisation": 0, "plot": ""},
        {"arrivals": 500, "agents": 4, "utilisation": 91, "plot": "waits.svg"},
    ],
    "_queue_waits": [
        {
            "width": 860,
            "height": 420,
            "left": 70,
            "right": 730,
            "top": 30,
            "bottom": 370,
            "dots": [
                {"x": 100.0, "y": 300.5, "rank": "A", "served": True},
                {"x": 1, "y": 2, "rank": "D", "served": False},
            ],
            "hours": [{"x": 70.0, "words": "08:00"}],
            "minutes": [{"y": 370.0, "words": "0"}],
            "ranks": [{"rank": "A", "y": 30}],
            "targets": [{"rank": "A", "y": 350.0}],
        }
    ],
    "_tiers_previewed": [{"year": 2027, "accounts": 800}],
    "_tiers_tie": [TIE, TIE | {"accounts": 9}],
    "_source": [
        {"entry": "g04", "version": 3, "title": "Dual supply", "document": "Service Guide", "article": "Article 4"},
        {"entry": "x01", "version": 1, "title": "Notes", "document": "Notes", "article": ""},
    ],
    "about_complaint": NONE,
    "about_fault_report": NONE,
    "about_outage_status": NONE,
    "about_satisfaction": NONE,
    "about_ticket_status": NONE,
    "account_data": [MINE],
    "album_received": [{"count": 3}],
    "answer": [{"answer": "Two months.", "cut": False}, {"answer": "Two months.", "cut": True}],
    "cancelled": NONE,
    "checklist_documents": [{"project": "Factory", "documents": ["Plan", "Diagram"]}],
    "checklist_question": [{"project": "Factory", "question": "Is there a diagram?"}],
    "checklist_type": NONE,
    "choices": NONE,
    "choose_language": NONE,
    "danger": NONE,
    "error": [{"title": "Title", "advice": "Advice."}],
    "file_received": [{"count": 1}, {"count": 2}],
    "greeting": NONE,
    "help": NONE,
    "identity_bound": [MINE],
    "identity_chosen": [MINE],
    "identity_code": [{"again": False}, {"again": True}],
    "identity_digits": [{"again": False}, {"again": True}],
    "identity_link_wrong": NONE,
    "identity_name": NONE,
    "identity_number": [{"again": False}, {"again": True}],
    "identity_private": NONE,
    "identity_throttled": NONE,
    "identity_unbind": [MINE],
    "identity_unbound": [MINE],
    "identity_way": [{"about": False}, {"about": True}],
    "identity_wrong": NONE,
    "identity_wrong_code": NONE,
    "language_set": NONE,
    "leave_message": NONE,
    "queue_joined": [
        PLACE
        | {"position": 1, "ahead": 0, "minutes": 0, "agents": 0, "reason": "anger", "green": False, "promised": False},
        PLACE | {"reason": "rule", "green": False},
        PLACE,
    ],
    "queue_position": [
        {"position": 1, "ahead": 0, "minutes": 0, "agents": 0},
        {"position": 3, "ahead": 2, "minutes": 8, "agents": 2},
    ],
    "person_private": NONE,
    "queue_closed": [{"opens": "", "due": ""}, {"opens": "8:00", "due": "9:00"}],
    "queue_left": NONE,
    "queue_left_promised": [{"due": "9:00"}],
    "queue_expired": NONE,
    "queue_expired_promised": [{"due": "9:00"}],
    "agent_joined": [{"number": "07"}],
    "agent_took_over": [{"number": "07"}],
    "agent_lapsed": NONE,
    "agent_released": NONE,
    "agent_closed": NONE,
    "returned_to_bot": NONE,
    "storm_notice": [{"message": ""}, {"message": "Line 3 is down."}],
    "_sms_alarm": [{"name": "Mill", "words": "A wire is down"}],
    "location_received": [{"count": 1}],
    "menu": NONE,
    "message_left": [{"number": "LY12"}],
    "my_accounts": [
        {"current": "3201000021 Mill", "others": []},
        {"current": "3201000021 Mill", "others": ["3201000022 Port"]},
    ],
    "my_manager": [
        {"no": "3201000021", "manager": "Li Na", "phone": ""},
        {"no": "3201000021", "manager": "Li Na", "phone": "13800001234"},
    ],
    "no_manager": [MINE],
    "nothing_to_cancel": NONE,
    "silent": NONE,
    "silent_long": NONE,
    "smalltalk": NONE,
    "stale_choice": NONE,
    "tier_by_classification": [{"year": 2027}],
    "tier_explained": [
        PLACED
        | {
            "amount": Decimal(0),
            "tier": "D",
            "short": None,
            "tied": 0,
            "raised": False,
            "large": False,
            "months": 0,
            "cut": 0,
        },
        PLACED | {"tied": 9, "large": False, "important": False},
        PLACED,
    ],
    "topics": NONE,
    "unknown_command": [{"command": "/what"}],
    "wordless": NONE,
}
ERRORS: Final[dict[str, Facts]] = {
    "BadInput": {"problems": [("body.text", "string_too_long", 20000), ("", "unreadable", None)]},
    "BodyTooLarge": {"limit": 20 * 1024 * 1024},
    "EntryTaken": {"by": "Li Na"},
    "Frozen": {"year": 2026},
    "BadPolicy": {"problems": [("queue.capacity", "greater_than_equal", 1), ("service.hours", "hours_overlap", 3)]},
    "PolicyChanged": {"version": 7},
    "MoveNotAllowed": {"state": "sent", "action": "cancel"},
    "NameTaken": {"name": "Li Na"},
    "NewerUnseen": {"newest": 12},
    "NoCapacity": {"load": 4, "capacity": 4},
    "NoPurchases": {"year": 2025},
    "OutOfTurn": {"rank": "A"},
    "SignInLocked": {"retry_after": 60},
    "TooManyRequests": {"retry_after": 5},
    "BadCell": {"name": "arrivals.csv", "line": 7, "column": "tier", "value": "E"},
    "MissingColumns": {"columns": ["Account no", "Name"]},
    "RepeatedColumns": {"columns": ["Phone", "Mobile"]},
    "UnreadableSheet": {"name": "customers.csv", "problem": "encoding"},
    "Unexpected": {"reference": "0a1b2c3d"},
    "UnknownArea": {"name": "North"},
    "UnknownClassification": {"year": 2027},
    "UnknownEntry": {"key": "g99"},
    "UnknownStaff": {"name": "Li Na"},
    "UnlinkedSignIn": {"name": "Li Na"},
    "WeakPassword": {"shortest": 10},
    "UnsupportedFile": {"name": "setup.exe"},
    "WrongRole": {"name": "Li Na"},
}
SOURCE: Final[Facts] = {"entry": "g04", "version": 3, "title": "Dual", "document": "Guide", "article": "Article 4"}
LINE: Final[Facts] = {
    "id": 1,
    "direction": "in",
    "client_id": None,
    "by": "contact",
    "agent": None,
    "name": "",
    "text": "",
    "choice": None,
    "choices": [],
    "sources": [],
    "attachments": [],
    "location": None,
    "at": "2026-03-02T01:00:00Z",
}
FILE: Final[Facts] = {"id": "f1", "name": "plan.pdf", "media_type": "application/pdf", "size": 9, "url": "/f/f1"}
LINES: Final[list[Facts]] = [
    LINE | {"text": "How long?"},
    LINE
    | {
        "id": 2,
        "direction": "out",
        "by": "bot",
        "text": "Two months.\n• one\n2. two",
        "choices": [{"id": "keep", "label": "Keep"}],
        "sources": [SOURCE, SOURCE | {"article": ""}],
    },
    LINE | {"id": 3, "choice": "keep"},
    LINE | {"id": 4, "choice": "gone:1"},
    LINE | {"id": 5, "choice": "lang:en"},
    LINE | {"id": 6, "direction": "out", "by": "agent", "agent": "07", "text": "Good morning"},
    LINE
    | {
        "id": 7,
        "text": "<script>alert(1)</script>",
        "attachments": [FILE, FILE | {"name": "a.png", "media_type": "image/png"}, FILE | {"id": None, "url": None}],
        "location": {"latitude": 31.2, "longitude": 121.5},
    },
]
PAGES: Final[dict[str, list[Facts]]] = {
    "bind": [{"token": "0a1b2c"}],
    "docs": [{}],
    "chat": [
        {"session_lines": [], "embedded": False},
        {"session_lines": LINES, "embedded": True},
    ],
    "error": [
        {"status": 404, "title": "Title", "detail": "<b>Detail</b>", "home": "/chat"},
        {"status": 503, "title": "Title", "detail": "Detail", "home": "/chat"},
        {"status": 403, "title": "Title", "detail": "Detail", "home": "/desk"},
    ],
    **staff_samples.PAGES,
}
