"""Whether endpoints answer: what their workers report, what was promised of them, and alarms when it is not kept."""
