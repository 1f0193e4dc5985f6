"""What `tocsin bench` measures: each word's module has `run(options) -> list[Row]`. Nothing here is ever a timed test."""
