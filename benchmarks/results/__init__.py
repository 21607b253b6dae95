"""Writes the tables and figures of the documents from stored measurements, and checks that they agree."""
