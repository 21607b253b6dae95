"""The functions of C and C++ files, found without expanding macros."""
