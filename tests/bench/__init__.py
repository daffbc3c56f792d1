"""The benchmark: mcv beside the bare commands that it runs, as ratios of one run."""
