"""The service guide and its search: text in, ranked and cited entries out."""
