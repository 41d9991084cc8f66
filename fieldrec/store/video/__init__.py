"""Video chunks: written so that a crash costs nothing, read exactly to the frame."""
