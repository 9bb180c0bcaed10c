"""Names for services and pods. `plan.py` decides the answer, `wire.py` reads and writes messages, `agent.py` serves."""
