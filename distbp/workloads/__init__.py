"""What is trained: ordinary modules with their loss, their data and their metrics."""
