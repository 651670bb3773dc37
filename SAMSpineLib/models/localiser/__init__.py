"""Where the vertebrae are and which they may be, seen at 3 mm over a whole volume."""
