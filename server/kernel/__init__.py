"""Pure foundations: ids, clock, errors, aggregates, policies. Imports the standard library only."""
