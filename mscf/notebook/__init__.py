"""Notebooks of ``notebooks/`` as commands: checked, run by papermill, signed."""
