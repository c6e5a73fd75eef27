"""A PostgreSQL server and posts of our own, so that every verb can be seen at work anywhere."""
