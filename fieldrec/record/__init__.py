"""Floor 4: recording. Camera -> ring -> store; one recorder per camera, one session for all."""
