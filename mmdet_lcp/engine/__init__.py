"""What all runs share on top of mmengine's runner: phases of training, state on disk, the end."""
