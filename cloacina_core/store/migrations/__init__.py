"""Migrations of the core's tables, with alembic. Files in `versions` are applied in order."""
