"""A trained network at work on volumes: masks on their own grid, and a report."""
