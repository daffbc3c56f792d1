"""This host's processes, files, locks and SSH: the ground that drivers stand on."""
