"""Alerts: readings are taken, judged by rules, written down as memories, and told to the operator."""
