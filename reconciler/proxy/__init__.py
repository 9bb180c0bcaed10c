"""Services become rules. `plan.py` decides which, `agent.py` and a backend put them in place."""
