"""One class for each foreign tool of this host, one method for each of its verbs."""
