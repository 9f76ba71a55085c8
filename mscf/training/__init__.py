"""The training loop and what it stands on: settings, schedule, state, history."""
