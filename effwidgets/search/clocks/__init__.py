"""Times: of the pieces that steps replace, and of whole candidates."""
