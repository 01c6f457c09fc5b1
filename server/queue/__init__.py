"""Due work in SQL: claims with a lease and an epoch, hints over RQ, dead letters."""
