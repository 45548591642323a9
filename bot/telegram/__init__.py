"""Telegram: updates in by polling or webhook, replies out. Nothing outside this package knows its types."""

import os

# the library's own switch to periods as `timedelta`; without it every flood limit comes with a deprecation warning
os.environ.setdefault("PTB_TIMEDELTA", "true")
