"""The cases of `make_reference.py`: each runs the original libraries and returns the content of a reference file."""
