"""The language all stations speak: shapes in motion, at rest and of configuration. No I/O, no clock."""
