"""What the admin does with definitions: check, test, plan, apply, prune, roll back, export; their REST resources."""
