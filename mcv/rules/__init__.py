"""What must be so before anything is done to a VM or its replicas."""
