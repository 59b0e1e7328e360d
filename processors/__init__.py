"""What leads mean: fetch asks Meta, map makes typed leads, and the window decides what may be committed."""
