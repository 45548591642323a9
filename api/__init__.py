"""The web edge: JSON API, pages, webhook."""
