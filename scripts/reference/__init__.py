"""The cases of `make_reference.py`: each runs the original libraries and returns what a reference file holds."""
