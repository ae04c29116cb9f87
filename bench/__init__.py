"""Load tests and side-by-side measurements."""
