"""A package, so that `tests` here is meant and not one that a dependency installs by mistake."""
