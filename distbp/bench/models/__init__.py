"""The models of the bench: ordinary modules, written as people usually write them."""
