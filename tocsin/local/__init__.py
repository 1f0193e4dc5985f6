"""A whole cluster on one machine as plain processes: what `./dev cluster`, the benches and the tests of kills start."""
