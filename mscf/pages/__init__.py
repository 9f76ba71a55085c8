"""What single pages of the book compute and say, from everything else."""
