"""Plans, carried out forward or back through any crash, and the jobs that show it."""
