"""Sums of gradients of which less than all travels: what each part keeps back goes along with its next gradient."""
