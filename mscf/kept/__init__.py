"""A finished run: opened again, asked, kept under ``results/``, and read from there."""
