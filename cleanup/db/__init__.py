"""The only floor that speaks to PostgreSQL; it knows no policy."""
