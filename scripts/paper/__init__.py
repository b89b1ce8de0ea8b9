"""The claims of the ECAD paper tested on the bundled models; see scripts/paper.sh."""
