"""Sagas: runs of steps across modules, each with what makes it undone."""
