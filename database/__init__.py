"""Transactions with PostgreSQL as several stages ask for them: each on behalf of the viewer who asks."""
