"""The replicated document: its schema, how it is kept on disk, the changes it knows."""
