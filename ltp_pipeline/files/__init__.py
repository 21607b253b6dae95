"""Reads tables of functions: bytes to text, text to rows, and what the columns of a public data set mean."""
