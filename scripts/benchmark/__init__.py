"""The engine timed beside diffusers on the same weights and inputs; see scripts/bench.sh."""
