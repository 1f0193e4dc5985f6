"""Numbers in, numbers out: the compiled kernels that judge readings, and their naive twin."""
