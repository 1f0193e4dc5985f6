"""What `tocsin bench` measures: each word's module has `run(options) -> list[Row]`. Never a timed test."""
