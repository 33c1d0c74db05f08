"""Messages to feature vectors: the encoders, their file, and the pass that makes a corpus an analyzed one."""
