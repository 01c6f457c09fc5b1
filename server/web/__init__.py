"""What every HTTP room needs: problems, bodies, permissions, paging, idempotency, versions. Knows no capability."""
