"""Telegram: updates in by polling or webhook, replies out. Nothing outside this package knows its types."""
