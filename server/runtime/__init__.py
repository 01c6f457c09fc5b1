"""The supervisor, the embedded servers and the start of each role: everything about processes."""
