"""One module for each word of the command; each has an `app` that the root mounts."""
