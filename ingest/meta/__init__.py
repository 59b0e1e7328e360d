"""All we know about Meta, and nowhere else."""
