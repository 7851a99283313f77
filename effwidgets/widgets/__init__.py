"""Live views: one anywidget for all of them, the board they hear from, and the panel's two channels."""
