"""The doors for people: the `tocsin` command and the composition of one process."""
