"""A cluster in one process under a scheduler's control: real daemons, random histories."""
