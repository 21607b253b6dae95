"""Injected defects: where a C or C++ function can be mutated, what is drawn for it, and how classes are balanced."""
