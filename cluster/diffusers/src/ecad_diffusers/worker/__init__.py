"""`ecad-torch-worker`: a worker of a run that evaluates candidates with PyTorch."""
