"""How good is it: metrics, a robot that clicks like a user, curves over clicks, and reports."""
