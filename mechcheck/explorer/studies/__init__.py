"""Studies of the explorer: each is one of the library's own, run while the page goes on, and shown in the report's figures."""
