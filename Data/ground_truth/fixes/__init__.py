"""Functions before and after the fix of a CVE, from source files and the diff of the fix."""
