"""Virtual machines: power, creation, deletion, migration."""
