"""What can be measured on a profile, registered by name; costs among them are axes of a search."""
